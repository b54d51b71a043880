//! The Starlark host: the API that test cases and product drivers see.
