//! The shipped test cases, where a device that shows it would have to be a product of its own.

use std::fs;
use std::process::Command;

use provebench_record::event::Outcome;
use provebench_script::{Limit, Suite};
use rstest::rstest;

use crate::bench::{PATIENCE, World};
use provebench_testing::repository;

/// Runs a unit that has loaded `names` of a shipped library.
fn run_with(library: &str, names: &str, body: &str) -> (Outcome, String) {
    let world = World::new();
    let path = format!("lib/{library}");
    // With what it loads itself.
    for entry in fs::read_dir(repository().join("testcases/lib")).expect("it is shipped") {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().into_string().expect("a name");
        let source = fs::read(entry.path()).expect("it can be read");
        world.files.write(&format!("cases/lib/{name}"), source);
    }
    let body = body.trim_end().replace('\n', "\n    ");
    let script = format!(
        "\"\"\"A case.\"\"\"\n\nload(\"//{path}\", {names})\n\ncase(id = \"5.11-1-2\")\n\n\
         def unit_a(t):\n    \"A unit.\"\n    {body}\n"
    );
    let result = world.run_file(&script).result;
    (result.outcome(), result.message)
}

#[rstest]
#[case::as_declared(r#"["TLS 1.3"]"#, r#"["TLS_AES_128_GCM_SHA256"]"#, "")]
#[case::less_than_declared("[]", "[]", "")]
#[case::version(r#"["TLS 1.3", "TLS 1.1"]"#, "[]", "TLS 1.1")]
#[case::suite(
    r#"["TLS 1.3"]"#,
    r#"["TLS_AES_128_CCM_SHA256", "TLS_AES_128_GCM_SHA256"]"#,
    "TLS_AES_128_CCM_SHA256"
)]
#[case::suite_of_a_version_that_is_not_offered(
    r#"["TLS 1.3"]"#,
    r#"["TLS_RSA_WITH_RC4_128_SHA"]"#,
    ""
)]
#[case::the_other_way_round(r#"["TLS 1.2"]"#, r#"["TLS_AES_128_CCM_SHA256"]"#, "TLS 1.2")]
#[case::suite_of_a_version_that_is(
    r#"["TLS 1.3", "TLS 1.2"]"#,
    r#"["TLS_RSA_WITH_RC4_128_SHA"]"#,
    "TLS 1.2, TLS_RSA_WITH_RC4_128_SHA"
)]
#[case::without_a_name(r#"["TLS 1.3"]"#, r#"["0xff85"]"#, "0xff85")]
fn what_is_offered_beyond_what_is_declared(
    #[case] versions: &str,
    #[case] suites: &str,
    #[case] expected: &str,
) {
    let body = format!(
        "row = {{\"tls_versions\": [\"TLS 1.3\"], \"cipher_suites\": [\"TLS_AES_128_GCM_SHA256\"]}}\n\
         t.fail(\"{{}}\", \", \".join(undeclared_offers(row, {{\"offered\": {versions}, \"offered_ciphers\": {suites}}})))"
    );
    let result = run_with("tls.star", "\"undeclared_offers\"", &body);
    assert_eq!(result, (Outcome::Fail, expected.to_owned()));
}

/// Unit a of 5.4-3-2 on a product with these bytes as an image; another image shows its model.
fn look_for_keys_in(image: impl AsRef<[u8]>) -> (Outcome, String) {
    let world = World::new();
    world
        .files
        .replace(
            "devices.toml",
            "name = \"emulated\"\n",
            "name = \"emulated\"\nlabel = { password = \"battery staple\" }\n",
        )
        .write(
            "targets/sensor/ixit.toml",
            "[[2-UserInfo]]\nid = \"UserInfo\"\nmodel_designation = \"S-1\"\n",
        )
        .write("targets/sensor/boot.bin", "this is an S-1")
        .write("targets/sensor/update.img", image);
    let suite = Suite::load(Some(&repository().join("testcases")));
    let suite = suite.unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
    let case = suite.case(&"5.4-3-2".parse().expect("an identifier"));
    let limit = Limit::new(PATIENCE, world.cancel.clone());
    let case = case.expect("it is shipped");
    let (result, _) = world.session(|session| session.run_unit(case, 'a', &limit));
    (result.outcome(), result.message)
}

/// What that program makes of its arguments.
fn openssl(words: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// As even as encrypted bytes: no two next to each other have to do with each other.
fn encrypted(length: usize) -> Vec<u8> {
    openssl(&format!("rand {length}"))
}

#[test]
fn images_without_a_key_pass() {
    let reads_pem =
        "-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0code ".repeat(300);
    for image in ["short".to_owned(), reads_pem] {
        let (outcome, message) = look_for_keys_in(image);
        assert_eq!(outcome, Outcome::Pass, "{message}");
    }
}

#[rstest]
#[case(
    "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER",
    "RSA private key of 2048 bits in DER"
)]
#[case(
    "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
    "P-384 private key in PEM"
)]
fn a_key_in_any_image_fails(#[case] key: &str, #[case] what: &str) {
    let image = [b"code ".repeat(1000), openssl(key)].concat();
    let (outcome, message) = look_for_keys_in(image);
    assert_eq!(outcome, Outcome::Fail, "{message}");
    assert_eq!(
        message,
        format!("the software contains: {what} at 5000 of image update")
    );
}

#[rstest]
#[case::with_nothing_to_see(Vec::new(), 100)]
#[case::with_a_plain_header(b"S-1 1.0.0".repeat(50), 89)]
fn an_encrypted_image_is_undecided_though_others_can_be_read(
    #[case] header: Vec<u8>,
    #[case] percent: u8,
) {
    let (outcome, message) = look_for_keys_in([header, encrypted(40_000)].concat());
    assert_eq!(outcome, Outcome::Inconclusive, "{message}");
    let place = format!("{percent} % of image update");
    assert!(message.ends_with(&place), "{message}");
}

#[test]
fn a_key_that_takes_a_password_is_undecided() {
    let key = openssl("genpkey -algorithm ED25519 -aes256 -pass pass:secret");
    let (outcome, message) = look_for_keys_in(key);
    assert_eq!(outcome, Outcome::Inconclusive, "{message}");
    assert!(
        message.ends_with("encrypted private key in PEM at 0 of image update"),
        "{message}"
    );
}

/// Who reads a test case to know what a verdict stands for has it on one screen.
#[test]
fn lines_fit_on_a_screen() {
    let folders = [
        "testcases",
        "targets",
        "harness/script/tests/script/products",
    ];
    let mut todo: Vec<_> = folders
        .iter()
        .map(|folder| repository().join(folder))
        .collect();
    let mut scripts = 0;
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("it can be listed");
            todo.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "star")
        {
            scripts += 1;
            for (n, line) in fs::read_to_string(&path).expect("text").lines().enumerate() {
                let columns = line.chars().count();
                assert!(
                    columns <= 120,
                    "{}:{}: {columns} columns",
                    path.display(),
                    n + 1
                );
            }
        }
    }
    assert!(scripts > 60, "{scripts}");
}
