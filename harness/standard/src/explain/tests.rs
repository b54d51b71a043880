use rstest::rstest;

use super::*;

fn scripts() -> Scripts {
    let takes = Takes {
        driver: ["login".to_owned()].into(),
        equipment: ["net".to_owned()].into(),
    };
    let script = Script {
        file: "testcases/5.1/5.1-1-2.star".to_owned(),
        units: [('a', takes.clone()), ('b', takes)].into(),
    };
    [("5.1-1-2".parse().unwrap(), script)].into()
}

fn page(word: &str) -> Page {
    explain(word, &scripts()).unwrap()
}

/// All text of a section.
fn section(page: &Page, heading: &str) -> String {
    let found = page
        .sections
        .iter()
        .find(|section| section.heading == heading);
    let found = found.unwrap_or_else(|| panic!("no {heading} in {page:#?}"));
    let blocks = found.blocks.iter().map(|block| match block {
        Block::Text(text) | Block::Item(text) => text.clone(),
        Block::Term(name, text) => format!("{} {text}", name.trim()),
    });
    blocks.collect::<Vec<_>>().join("\n")
}

#[rstest]
#[case::provision("5.3-10", "5.3-10  Updates over a network")]
#[case::case("5.3-10-1", "5.3-10-1  Updates over a network")]
#[case::unit("5.3-10-1 a", "5.3-10-1 a")]
#[case::unit_as_selected("5.3-10-1:a", "5.3-10-1 a")]
#[case::clause("5.11", "5.11  Deletion of user data")]
#[case::data_protection("6", "6  Data protection")]
#[case::older("5.3-4", "5.3-4  ")]
#[case::table("1-AuthMech", "1-AuthMech  Authentication Mechanisms")]
#[case::table_in_short("authmech", "1-AuthMech  Authentication Mechanisms")]
#[case::field("10-SecParam.Type", "10-SecParam.Type")]
#[case::field_by_key("10-SecParam.generation_mechanism", "10-SecParam.Generation Mechanism")]
#[case::field_alone("brute_force_prevention", "1-AuthMech.Brute Force Prevention")]
#[case::field_of_many("description", "description")]
#[case::condition("condition 14", "condition 14")]
#[case::condition_in_short("C14", "condition 14")]
#[case::feature("feature e", "feature e")]
#[case::feature_in_short("F e", "feature e")]
#[case::feature_by_letters("aa", "feature aa")]
#[case::state("factory-default", "factory default")]
#[case::state_in_words("factory default", "factory default")]
#[case::transition("factory-reset", "factory-reset")]
#[case::verdict_rule("case-inconclusive", "case-inconclusive")]
#[case::ixit_rule("secparam-generation", "secparam-generation")]
#[case::scheme("uk-psti", "uk-psti  ")]
#[case::vertical("etsi-ts-103-848", "ETSI TS 103 848")]
#[case::suite("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256")]
#[case::entry("protocol/ssh-1", "SSH-1")]
#[case::spaces(" 5.3-10 ", "5.3-10  Updates over a network")]
fn words_are_found(#[case] word: &str, #[case] title: &str) {
    let page = page(word);
    assert!(page.title.starts_with(title), "{}", page.title);
    assert!(page.sections.len() > 1, "{page:#?}");
}

/// Nothing that is offered as a name leads nowhere.
#[test]
fn all_names_are_explained() {
    for name in names() {
        let page = page(&name);
        assert!(page.sections.len() > 1, "{name}: {page:#?}");
    }
}

#[rstest]
#[case("5.3-99", "5.3-9")]
#[case("10-SecParm", "10-SecParam")]
#[case("update_mechanisms", "update_mechanism")]
#[case("factory-defaults", "factory-default")]
fn what_comes_near_an_unknown_word_is_told(#[case] word: &str, #[case] near: &str) {
    let unknown = explain(word, &Scripts::new()).unwrap_err();
    assert_eq!(unknown.word, word);
    assert!(unknown.near.iter().any(|name| name == near), "{unknown:?}");
}

#[rstest]
#[case("")]
#[case("5.")]
#[case("qqqqqq")]
fn nothing_comes_near_nonsense(#[case] word: &str) {
    let unknown = explain(word, &Scripts::new()).unwrap_err();
    assert!(unknown.near.len() <= NEAR, "{unknown:?}");
}

#[test]
fn a_provision_tells_what_engineers_and_assessors_ask() {
    let page = page("5.1-1");
    assert!(section(&page, "").contains("mandatory if passwords authenticate users or machines"));
    for heading in [
        "Asked",
        "Why",
        "Products pass by",
        "Products fail by",
        "For firmware engineers",
        "For assessors",
    ] {
        assert!(!section(&page, heading).is_empty());
    }
    assert!(section(&page, "Applies").contains("feature a passwords authenticate"));
    assert!(section(&page, "IXIT").starts_with("1-AuthMech Description, "));
    assert!(section(&page, "In EN 303 645 v2.1.1").starts_with("5.1-1 "));
    assert!(section(&page, "Schemes").contains("uk-psti passwords"));
}

#[test]
fn what_provebench_decides_is_told_unit_by_unit() {
    let page = page("5.1-1");
    let decided = section(&page, "Decided by");
    let line = |begin: &str| {
        decided
            .lines()
            .find(|line| line.starts_with(begin))
            .unwrap()
    };
    assert!(
        decided.contains("[document; no rule yet: a person decides]"),
        "{decided}"
    );
    assert!(
        line("b ").ends_with("[bench; provebench: testcases/5.1/5.1-1-2.star]"),
        "{decided}"
    );
    assert!(
        line("c ").ends_with("[bench; no script yet: a person decides]"),
        "{decided}"
    );
    assert_eq!(section(&page, "Takes"), "driver functions login\nbench net");
}

#[test]
fn a_unit_tells_its_verdict_and_state() {
    let unit = page("5.3-1-2 a");
    assert!(
        section(&unit, "Verdict").contains("applies 5.3-2-2 a and 5.3-2-2 b to every mechanism")
    );
    let unit = page("5.4-3-2 a");
    assert_eq!(section(&unit, "State of the device"), "in operation");
}

#[test]
fn an_older_provision_leads_to_those_that_it_became() {
    let became = section(&page("5.3-6"), "In v3.1.3");
    for id in ["5.3-6A ", "5.3-6B ", "5.3-4B "] {
        assert!(became.contains(id), "{became}");
    }
}

#[test]
fn a_condition_tells_the_provisions_that_depend_on_it() {
    let condition = section(&page("condition 14"), "Provisions that apply then");
    assert!(
        condition.starts_with("5.1-5 ") && condition.lines().count() == 1,
        "{condition}"
    );
}

#[test]
fn a_field_tells_who_reads_it_and_what_it_takes() {
    let page = page("6-SoftComp.update_mechanism");
    assert!(section(&page, "In files").starts_with("update_mechanism ids of rows in 7-UpdMech"));
    assert!(section(&page, "Read by").contains("5.3-1-1 a"));
    assert!(section(&page, "Rules about its table").contains("softcomp-updmech"));
}
