use rstest::rstest;

use super::*;

fn parse(text: &str) -> (Declared, Vec<String>) {
    let (declared, findings) = Declared::parse(&Sources::one("ixit.toml", text));
    (declared, findings.iter().map(Finding::told).collect())
}

#[track_caller]
fn good(text: &str) -> Declared {
    let (declared, findings) = parse(text);
    assert_eq!(findings, Vec::<String>::new());
    declared
}

/// The only finding.
#[track_caller]
fn bad(text: &str) -> String {
    let (_, findings) = parse(text);
    match &findings[..] {
        [one] => one.clone(),
        _ => panic!("{findings:#?}"),
    }
}

#[test]
fn fields_have_the_types_of_the_pro_forma() {
    let declared = good(
        r#"
[[7-UpdMech]]
id = "UpdMech-Ota"
description = "over the air"
security_guarantees = ["authenticity", "integrity"]

[[6-SoftComp]]
id = "SoftComp-App"
update_mechanism = ["UpdMech-Ota"]
cryptographic_usage = { is = true, detail = "TLS" }

[[6-SoftComp]]
id = "SoftComp-Boot"
update_mechanism = "none: immutable"

[[10-SecParam]]
id = "SecParam-Key"
type = "Critical"

[4-Conf]
confirmation_of_update_procedures = true
"#,
    );
    let field = |table, id, key: &str| declared.row(table, id).unwrap().field(key).unwrap();
    let ota = field("7-UpdMech", "UpdMech-Ota", "description");
    assert_eq!(ota.value, Value::Text("over the air".into()));
    assert_eq!((&*ota.place.file, ota.place.line), ("ixit.toml", 4));
    let guarantees = field("7-UpdMech", "UpdMech-Ota", "security_guarantees");
    assert_eq!(
        guarantees.as_words().unwrap(),
        ["authenticity", "integrity"]
    );
    assert_eq!(
        field("6-SoftComp", "SoftComp-App", "update_mechanism").ids(),
        ["UpdMech-Ota"]
    );
    let usage = field("6-SoftComp", "SoftComp-App", "cryptographic_usage");
    assert_eq!(
        (usage.as_bool(), usage.detail.as_deref()),
        (Some(true), Some("TLS"))
    );
    let none = field("6-SoftComp", "SoftComp-Boot", "update_mechanism");
    assert_eq!(none.value, Value::NoneFor("immutable".into()));
    let kind = field("10-SecParam", "SecParam-Key", "type");
    assert_eq!(kind.value, Value::Choice("critical".into()));
    assert_eq!(
        field("4-Conf", "4-Conf", "confirmation_of_update_procedures").as_bool(),
        Some(true)
    );
}

#[test]
fn what_is_empty_says_nothing() {
    let declared = good("[[5-VulnMon]]\nid = \"A\"\ndescription = \"  \"\n");
    assert_eq!(declared.rows("5-VulnMon")[0].field("description"), None);
}

#[test]
fn what_is_ours_is_apart() {
    let declared = good(
        r#"
[[7-UpdMech]]
id = "A"
provebench = { network = true, requests = ["GET /"] }
"#,
    );
    let row = &declared.rows("7-UpdMech")[0];
    assert_eq!(row.fact("network").unwrap().as_bool(), Some(true));
    assert_eq!(row.parameters().collect::<Vec<_>>(), ["requests"]);
    assert_eq!(row.field("network"), None);
}

#[test]
fn several_files_are_one_ixit() {
    let files = [
        (
            "ixit/a.toml",
            "[[6-SoftComp]]\nid = \"A\"\nupdate_mechanism = [\"U\"]\n",
        ),
        (
            "ixit/b.toml",
            "[[7-UpdMech]]\nid = \"U\"\n\n[[6-SoftComp]]\nid = \"B\"\n",
        ),
    ];
    let (declared, findings) = Declared::parse(&files.into_iter().collect());
    assert_eq!(findings, []);
    let rows = declared.rows("6-SoftComp").iter();
    let rows: Vec<String> = rows
        .map(|row| format!("{} {}", row.id, row.place))
        .collect();
    assert_eq!(rows, ["A ixit/a.toml:1", "B ixit/b.toml:4"]);
}

#[rstest]
#[case::syntax("[[7-UpdMech]]\nid = \n", "ixit.toml:2: ", "")]
#[case::table(
    "[[7-UpdMec]]\nid = \"A\"\n",
    "ixit.toml:1: `7-UpdMec` is no table of the IXIT",
    "is `7-UpdMech` meant?"
)]
#[case::field(
    "[[7-UpdMech]]\nid = \"A\"\nuser_notificaton = \"x\"\n",
    "ixit.toml:3: `user_notificaton` is no field of 7-UpdMech",
    "is `user_notification` meant?"
)]
#[case::field_far_off(
    "[[5-VulnMon]]\nid = \"A\"\nzzz = 1\n",
    "`zzz` is no field of 5-VulnMon",
    "known are id, description, provebench"
)]
#[case::fact(
    "[[7-UpdMech]]\nid = \"A\"\nprovebench.netwrk = true\n",
    "ixit.toml:3: `netwrk` is no fact of 7-UpdMech",
    "is `network` meant?"
)]
#[case::choice(
    "[[10-SecParam]]\nid = \"A\"\ntype = \"critcal\"\n",
    "`type` of A: \"critcal\" is none of critical, public",
    "is `critical` meant?"
)]
#[case::boolean(
    "[4-Conf]\nconfirmation_of_secure_management = \"yes\"\n",
    "true or false is wanted, and this is a text",
    ""
)]
#[case::number(
    "[[5-VulnMon]]\nid = \"A\"\ndescription = 3\n",
    "is wanted, and this is a number",
    ""
)]
#[case::date(
    "[[5-VulnMon]]\nid = \"A\"\ndescription = 2026-01-01\n",
    "is wanted, and this is datetime",
    ""
)]
#[case::reference(
    "[[6-SoftComp]]\nid = \"A\"\nupdate_mechanism = [\"UpdMech-Ot\"]\n[[7-UpdMech]]\nid = \"UpdMech-Ota\"\n",
    "ixit.toml:3: A refers to UpdMech-Ot, which is no row of 7-UpdMech",
    "is UpdMech-Ota meant?"
)]
#[case::reference_of_another_table(
    "[[6-SoftComp]]\nid = \"A\"\nupdate_mechanism = \"A\"\n",
    "A refers to A, which is no row of 7-UpdMech",
    "A is a row of 6-SoftComp"
)]
#[case::reference_of_ours(
    "[[26-UserDec]]\nid = \"A\"\nprovebench.about = [\"B\"]\n",
    "A refers to B, which is no row of 7-UpdMech or 21-PersData",
    "add the row"
)]
#[case::double(
    "[[5-VulnMon]]\nid = \"A\"\n[[5-VulnMon]]\nid = \"A\"\n",
    "ixit.toml:3: 5-VulnMon has two rows with the id A",
    "ixit.toml:1: the first"
)]
#[case::second(
    "[[4-Conf]]\n[[4-Conf]]\n",
    "ixit.toml:2: 4-Conf takes one row",
    "ixit.toml:1: the first"
)]
#[case::id_of_a_single(
    "[2-UserInfo]\nid = \"A\"\n",
    "`id` is no field of 2-UserInfo",
    "needs no id"
)]
#[case::no_table(
    "5-VulnMon = 3\n",
    "5-VulnMon is a number, and has to be a table",
    "write [[\"5-VulnMon\"]]"
)]
#[case::no_row(
    "5-VulnMon = [\"A\"]\n",
    "a row of 5-VulnMon is a table, and this is a text",
    "write [[\"5-VulnMon\"]]"
)]
#[case::ours_is_no_table(
    "[[5-VulnMon]]\nid = \"A\"\nprovebench = true\n",
    "`provebench` of A is true or false, and has to be a table",
    ""
)]
fn what_is_wrong_is_told_with_its_place_and_a_way_out(
    #[case] text: &str,
    #[case] message: &str,
    #[case] help: &str,
) {
    let told = bad(text);
    assert!(told.contains(message), "{told}");
    assert!(told.contains(help), "{told}");
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_the_rest_is_read() {
    let (declared, findings) =
        parse("[[5-VulnMon]]\nid = 3\ndescription = \"d\"\nx = 1\n[nowhere]\n");
    assert_eq!(findings.len(), 3, "{findings:#?}");
    let row = &declared.rows("5-VulnMon")[0];
    assert_eq!(row.id, "row 1 of 5-VulnMon");
    assert!(row.field("description").is_some());
}

#[test]
fn references_tell_the_groups_that_they_bear_upon() {
    let told = bad("[[14-SecMgmt]]\nid = \"A\"\ncross_reference = [\"B\"]\n");
    assert!(told.ends_with("bears upon 5.5-8"), "{told}");
}

#[test]
fn what_every_row_has_to_have_is_missed_for_groups_that_are_claimed() {
    let declared = good("[[5-VulnMon]]\nid = \"A\"\n[[16-CodeMin]]\ndescription = \"d\"\n");
    let told = |claimed: &str| -> Vec<String> {
        let claimed = claimed.parse().unwrap();
        let missing = declared.missing(|id| *id == claimed);
        missing.into_iter().map(|finding| finding.message).collect()
    };
    assert_eq!(
        told("5.2-3"),
        ["row 1 of 16-CodeMin has no `id`", "A has no `description`"]
    );
    assert_eq!(told("5.1-1"), ["row 1 of 16-CodeMin has no `id`"]);
}

/// Whatever is in a file, it is no reason to end.
#[rstest]
#[case("")]
#[case("\u{feff}")]
#[case("[[\"1-AuthMech\"]]\nid = [[[]]]\n")]
#[case("1-AuthMech = [[], {}, [{ id = [] }]]")]
#[case("[1-AuthMech]\n[[1-AuthMech]]\n")]
#[case(
    "[[1-AuthMech]]\nid = 99999999999999999999999\nprovebench.provebench = { provebench = 0x10 }\n"
)]
#[case("\"é\" = \"none\u{301}\"\n[[6-SoftComp]]\nupdate_mechanism = \"nonéx\"\n")]
fn nothing_ends_it(#[case] text: &str) {
    let (declared, _) = parse(text);
    declared.missing(|_| true);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Nor is anything that is nearly an IXIT.
    #[test]
    fn no_text_ends_it(text in "(\\[?\\[?(1-AuthMech|2-UserInfo|6-SoftComp)\\]?\\]?\n|(id|type|update_mechanism|provebench|é)( = |\\.)(\"[a-zé:]{0,6}\"|\\[|\\]|\\{|\\}|true|1|none)\n){0,12}") {
        let (declared, findings) = Declared::parse(&Sources::one("ixit.toml", &text));
        for finding in findings.iter().chain(&declared.missing(|_| true)).chain(&crate::declared::check(&declared, None)) {
            proptest::prop_assert!(!finding.told().is_empty());
        }
        let (statement, _) = crate::declared::Statement::parse(&Sources::one("ics.toml", &text));
        statement.check();
    }
}
