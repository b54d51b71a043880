use rstest::rstest;

use super::*;

fn parse(text: &str) -> (Statement, Vec<String>) {
    let (statement, findings) = Statement::parse(&Sources::one("ics.toml", text));
    (statement, findings.iter().map(Finding::told).collect())
}

#[track_caller]
fn good(text: &str) -> Statement {
    let (statement, findings) = parse(text);
    assert_eq!(findings, Vec::<String>::new());
    statement
}

/// What is found about one provision.
fn about(statement: &Statement, id: &str) -> Vec<(Kind, String)> {
    let id: ProvisionId = id.parse().unwrap();
    let name = id.to_string();
    let findings = statement.check().into_iter();
    let findings = findings.filter(|f| {
        f.message.starts_with(&format!("{name} ")) || f.message.contains(&format!(" {name} "))
    });
    findings
        .map(|finding| (finding.kind, finding.told()))
        .collect()
}

#[test]
fn answers_declarations_and_product_are_read() {
    let statement = good(
        r#"
"5.1-1" = { support = "yes", detail = "one per device" }
"5.8-3" = { support = "n/a", detail = "senses nothing" }

[product]
name = "Sensor"
services = ["broker", "updates"]

[supplier]
contact = "security@example.org"

[document]
version = "3"

[conditions]
12 = true

[features]
a = true
v = { is = false, detail = "no camera" }
"#,
    );
    let sensing = "5.8-3".parse().unwrap();
    assert_eq!(
        statement.get(&sensing).unwrap().claim.support,
        Support::NotApplicable
    );
    assert!(statement.claims(&"5.1-1".parse().unwrap()) && !statement.claims(&sensing));
    assert_eq!(statement.product.get("name"), ["Sensor"]);
    assert_eq!(statement.product.get("services"), ["broker", "updates"]);
    assert_eq!(statement.supplier.get("contact"), ["security@example.org"]);
    assert_eq!(statement.ics().iter().count(), 2);
    let applies = |id: &str| {
        let provision = Catalogue::shipped()
            .provision(&id.parse().unwrap())
            .unwrap();
        statement.applies(provision)
    };
    assert_eq!(applies("5.1-1"), Some(true));
    assert_eq!(applies("5.8-3"), Some(false));
    assert_eq!(applies("5.4-3"), Some(true), "for every product");
    assert_eq!(applies("5.1-2"), None, "nobody said whether b is there");
}

#[rstest]
#[case::provision(
    "\"5.1-9\" = { support = \"yes\" }",
    "ics.toml:1: `5.1-9` is no provision",
    "near are 5.1-"
)]
#[case::shape(
    "\"5.1-1\" = \"yes\"",
    "5.1-1 is a text, and has to be a table",
    "write \"5.1-1\" = { support"
)]
#[case::support(
    "\"5.1-1\" = { support = \"maybe\" }",
    "5.1-1: support is yes, no or n/a",
    ""
)]
#[case::no_support(
    "\"5.1-1\" = { detail = \"x\" }",
    "5.1-1 has no `support`",
    "say yes, no or n/a"
)]
#[case::key(
    "\"5.1-1\" = { support = \"yes\", detial = \"x\" }",
    "`detial` is no key of an answer",
    "is `detail` meant?"
)]
#[case::feature(
    "[features]\nbb = true",
    "ics.toml:2: `bb` is no feature",
    "known are a, b"
)]
#[case::condition(
    "[conditions]\n4 = true",
    "`4` is no condition",
    "known are 3, 12, 14, 15, 16"
)]
#[case::declaration(
    "[features]\na = \"yes\"",
    "feature a is true or false",
    "write a = true"
)]
#[case::product(
    "[product]\nnmae = \"x\"",
    "`nmae` is no key of [product]",
    "is `name` meant?"
)]
#[case::of_no_table("product = 3", "`product` is a number, and has to be a table", "")]
fn what_is_wrong_is_told_with_its_place_and_a_way_out(
    #[case] text: &str,
    #[case] message: &str,
    #[case] help: &str,
) {
    let (_, findings) = parse(text);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains(message), "{findings:?}");
    assert!(findings[0].contains(help), "{findings:?}");
}

#[test]
fn contradictions_are_named_with_both_places() {
    let statement = good("\"5.8-3\" = { support = \"yes\" }\n[features]\nv = false\n");
    let found = about(&statement, "5.8-3");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, Kind::Contradiction);
    let told = &found[0].1;
    assert!(
        told.starts_with("ics.toml:1: 5.8-3 is answered with yes"),
        "{told}"
    );
    assert!(
        told.contains("\n  ics.toml:3: feature v: the device senses"),
        "{told}"
    );
}

#[rstest]
#[case::absent_and_no("\"5.8-3\" = { support = \"no\", detail = \"x\" }\n[features]\nv = false", "5.8-3", &[Kind::Contradiction])]
#[case::there_and_n_a("\"5.8-3\" = { support = \"n/a\", detail = \"x\" }\n[features]\nv = true", "5.8-3", &[Kind::Contradiction])]
#[case::absent_and_n_a("\"5.8-3\" = { support = \"n/a\", detail = \"x\" }\n[features]\nv = false", "5.8-3", &[])]
#[case::there_and_yes("\"5.8-3\" = { support = \"yes\" }\n[features]\nv = true", "5.8-3", &[])]
#[case::not_declared("\"5.8-3\" = { support = \"n/a\", detail = \"x\" }", "5.8-3", &[Kind::Unchecked])]
#[case::one_of_two_absent("\"5.1-5\" = { support = \"n/a\", detail = \"x\" }\n[features]\ne = false", "5.1-5", &[])]
#[case::for_all("\"5.4-3\" = { support = \"n/a\", detail = \"x\" }", "5.4-3", &[Kind::Contradiction])]
#[case::mandatory_not_met("\"5.4-3\" = { support = \"no\", detail = \"x\" }", "5.4-3", &[Kind::Breach])]
#[case::without_reason("\"5.2-2\" = { support = \"no\" }", "5.2-2", &[Kind::Breach])]
#[case::with_reason("\"5.2-2\" = { support = \"no\", detail = \"x\" }", "5.2-2", &[])]
#[case::no_answer("", "5.2-2", &[Kind::Missing])]
fn answers_are_checked(#[case] text: &str, #[case] id: &str, #[case] kinds: &[Kind]) {
    let found = about(&good(text), id);
    let found: Vec<Kind> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(found, kinds);
}

#[test]
fn a_recommendation_without_a_reason_bears_upon_5_0_1() {
    let found = about(&good("\"5.2-2\" = { support = \"no\" }"), "5.2-2");
    assert!(found[0].1.ends_with("bears upon 5.0-1"), "{found:?}");
}

#[test]
fn every_answer_that_is_missing_is_told() {
    assert_eq!(Statement::default().check().len(), 78);
}
