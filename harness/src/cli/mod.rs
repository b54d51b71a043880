//! One file per subcommand; prints; owns exit codes.
