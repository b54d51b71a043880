//! The scripts are embedded into the program; the macro that does so can't watch the folder.

fn main() {
    println!("cargo::rerun-if-changed=../../testcases");
}
