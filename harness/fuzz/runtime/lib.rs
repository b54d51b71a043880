//! Nothing of its own: ci/fuzz takes the library that the build script of `libfuzzer-sys` has made.
