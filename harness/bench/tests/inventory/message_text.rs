//! What a person is told, without colour and without the temporary folder's name.

use miette::Diagnostic;
use provebench_bench::inventory::InventoryError;

use provebench_testing::TestBench;

/// Each problem as: what, then each place (file:line:column, marked text, label), then what to do.
pub(crate) fn said(bench: &TestBench, err: &InventoryError) -> String {
    let mut said = Vec::new();
    for problem in err.problems() {
        said.push(problem.to_string());
        if let Some(why) = std::error::Error::source(problem) {
            said.push(format!("  because {why}"));
        }
        let labels: Vec<_> = problem.labels().into_iter().flatten().collect();
        let source = problem.source_code();
        for label in labels {
            let source = source.expect("what has labels has a source");
            let at = source
                .read_span(label.inner(), 0, 0)
                .expect("the label is in the source");
            let marked = String::from_utf8_lossy(at.data());
            // What spans lines, such as a table, is marked by its first one.
            let marked = marked.lines().next().unwrap_or_default();
            said.push(format!(
                "  {}:{}:{} `{marked}` {}",
                at.name().expect("the source has a name"),
                at.line() + 1,
                at.column() + 1,
                label.label().unwrap_or_default(),
            ));
        }
        let help = problem
            .help()
            .expect("there is always something to do about it");
        said.push(format!("  help: {help}"));
    }
    let root = format!("{}/", bench.root().display());
    said.push(String::new());
    said.join("\n").replace(&root, "")
}
