use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::Claim;
use Verdict::{Fail, Inconclusive, Pass};

fn unit(id: &str) -> UnitId {
    id.parse().unwrap()
}

fn result(id: &str, row: Option<&str>, outcome: Outcome, source: Source) -> UnitResult {
    UnitResult {
        unit: unit(id),
        row: row.map(str::to_owned),
        outcome,
        source,
    }
}

/// All provisions claimed and shown, but those given.
fn sound(but: &[(&str, Support, &str)]) -> Known {
    let claims = Catalogue::shipped().groups().map(|group| {
        let other = but.iter().find(|(id, ..)| *id == group.id.to_string());
        let (support, detail) = other.map_or((Support::Yes, ""), |(_, s, d)| (*s, *d));
        let detail = detail.to_owned();
        (group.id.clone(), Claim { support, detail })
    });
    let results = Catalogue::shipped().units().map(|(unit, _)| UnitResult {
        unit,
        row: None,
        outcome: Outcome::Pass,
        source: Source::Person,
    });
    Known {
        ics: claims.collect(),
        results: results.collect(),
        ..Known::default()
    }
}

fn without(mut known: Known, id: &str) -> Known {
    known.results.retain(|result| result.unit != unit(id));
    known
}

fn with(mut known: Known, results: impl IntoIterator<Item = UnitResult>) -> Known {
    known.results.extend(results);
    known
}

fn group<'a>(assessment: &'a Assessment, id: &str) -> &'a GroupVerdict {
    let id = id.parse().unwrap();
    assessment
        .groups
        .iter()
        .find(|group| group.id == id)
        .unwrap()
}

fn verdict_of(assessment: &Assessment, id: &str) -> Option<Verdict> {
    let id = unit(id);
    let (_, unit) = assessment.units().find(|(_, unit)| unit.id == id).unwrap();
    unit.verdict
}

#[test]
fn what_is_claimed_and_shown_passes() {
    let assessment = sound(&[]).assess();
    assert_eq!(assessment.verdict, Pass);
    assert_eq!(assessment.statement, []);
    assert_eq!(assessment.groups.len(), 78);
    assert_eq!(assessment.units().count(), 260);
}

#[test]
fn a_unit_that_nobody_looked_at_keeps_the_whole_open() {
    let assessment = without(sound(&[]), "5.5-2-2 a").assess();
    assert_eq!(verdict_of(&assessment, "5.5-2-2 a"), Some(Inconclusive));
    assert_eq!(group(&assessment, "5.5-2").verdict, Some(Inconclusive));
    assert_eq!(assessment.verdict, Inconclusive);
}

#[test]
fn a_recommendation_that_is_claimed_and_fails_fails_the_whole() {
    let fails = result("5.6-8-1 a", None, Outcome::Fail, Source::Rule);
    let assessment = with(sound(&[]), [fails.clone()]).assess();
    assert!(!group(&assessment, "5.6-8").mandatory);
    assert_eq!(assessment.verdict, Fail);
    // Not claimed, for a reason, it is none of it; the results stay.
    let known = with(sound(&[("5.6-8", Support::No, "no MPU")]), [fails]);
    let assessment = known.assess();
    assert_eq!(assessment.verdict, Pass);
    assert_eq!(group(&assessment, "5.6-8").verdict, None);
    assert_eq!(verdict_of(&assessment, "5.6-8-1 a"), Some(Fail));
    let justified: Vec<_> = assessment.justified().map(|g| g.id.to_string()).collect();
    assert_eq!(justified, ["5.6-8"]);
}

#[rstest]
#[case::mandatory("5.1-1", Support::No, "no time", Fail)]
#[case::recommended("5.2-2", Support::No, "no time", Pass)]
#[case::without_a_reason("5.2-2", Support::No, "", Pass)]
#[case::feature_is_not_there("5.1-1", Support::NotApplicable, "no passwords", Pass)]
#[case::and_not_a_word_on_why("5.1-1", Support::NotApplicable, " ", Inconclusive)]
#[case::applies_to_all("5.4-3", Support::NotApplicable, "no software", Fail)]
#[case::recommended_to_all("5.2-2", Support::NotApplicable, "no", Fail)]
fn statements(
    #[case] id: &str,
    #[case] support: Support,
    #[case] detail: &str,
    #[case] whole: Verdict,
) {
    let assessment = sound(&[(id, support, detail)]).assess();
    assert_eq!(assessment.verdict, whole, "{:?}", assessment.statement);
    assert_eq!(assessment.statement.is_empty(), whole == Pass);
    assert_eq!(group(&assessment, id).verdict, None);
}

#[test]
fn a_recommendation_without_a_reason_is_for_5_0_1_to_fail() {
    let assessment = sound(&[("5.2-2", Support::No, "")]).assess();
    assert!(group(&assessment, "5.2-2").lacks_reason());
    assert_eq!(assessment.justified().count(), 0);
}

#[test]
fn what_is_found_against_n_a_keeps_the_whole_open() {
    let known = sound(&[("5.1-1", Support::NotApplicable, "no passwords")]);
    let fails = result("5.1-1-2 a", None, Outcome::Fail, Source::Bench);
    let mut known = with(known, [fails]);
    let assessment = known.assess();
    assert_eq!(group(&assessment, "5.1-1").verdict, None);
    assert_eq!(assessment.verdict, Inconclusive);
    let kinds: Vec<_> = assessment
        .statement
        .iter()
        .map(|fault| fault.kind)
        .collect();
    assert_eq!(kinds, [StatementFaultKind::NotApplicableContradicted]);
    known.settings.not_applicable_contradicted = Gap::Fail;
    assert_eq!(known.assess().verdict, Fail);
}

#[test]
fn a_statement_with_gaps_keeps_the_whole_open() {
    let mut known = sound(&[]);
    let claims = known.ics.iter().filter(|(id, _)| id.to_string() != "5.2-1");
    known.ics = claims
        .map(|(id, claim)| (id.clone(), claim.clone()))
        .collect();
    assert_eq!(known.assess().verdict, Inconclusive);
    known.settings.unanswered = Gap::Reported;
    assert_eq!(known.assess().verdict, Pass);
    known.settings.unanswered = Gap::Fail;
    assert_eq!(known.assess().verdict, Fail);
}

#[test]
fn nothing_known_is_nothing_shown() {
    let mut known = Known::default();
    known.settings.unanswered = Gap::Reported;
    assert_eq!(known.assess().verdict, Inconclusive);
}

#[test]
fn every_declared_row_has_to_be_decided() {
    let mut known = without(sound(&[]), "5.1-5-2 b");
    known
        .rows
        .insert(unit("5.1-5-2 b"), ["A".to_owned(), "B".to_owned()].into());
    let passes = |row| result("5.1-5-2 b", Some(row), Outcome::Pass, Source::Bench);
    let known = with(known, [passes("A")]);
    assert_eq!(verdict_of(&known.assess(), "5.1-5-2 b"), Some(Inconclusive));
    let known = with(known, [passes("B")]);
    assert_eq!(known.assess().verdict, Pass);
}

#[test]
fn one_update_mechanism_that_withstands_is_enough_where_the_standard_says_so() {
    let rows = [
        result("5.3-2-2 b", Some("Ota"), Outcome::Pass, Source::Bench),
        result("5.3-2-2 b", Some("Usb"), Outcome::Fail, Source::Bench),
    ];
    let mut known = with(without(sound(&[]), "5.3-2-2 b"), rows.clone());
    assert_eq!(group(&known.assess(), "5.3-2").verdict, Some(Pass));
    known.settings.one_row_is_enough = false;
    assert_eq!(group(&known.assess(), "5.3-2").verdict, Some(Fail));
    // Elsewhere it is not.
    let elsewhere = rows.map(|r| UnitResult {
        unit: unit("5.3-9-2 b"),
        ..r
    });
    let known = with(without(sound(&[]), "5.3-9-2 b"), elsewhere);
    assert_eq!(group(&known.assess(), "5.3-9").verdict, Some(Fail));
}

#[test]
fn a_person_settles_what_is_open_and_takes_back_no_fail() {
    let of = |outcome, source| result("5.6-1-2 a", None, outcome, source);
    let open = without(sound(&[]), "5.6-1-2 a");
    let open = with(open, [of(Outcome::Inconclusive, Source::Bench)]);
    assert_eq!(open.assess().verdict, Inconclusive);
    let mut settled = with(open, [of(Outcome::Pass, Source::Person)]);
    assert_eq!(settled.assess().verdict, Pass);
    let failed = with(settled.clone(), [of(Outcome::Fail, Source::Bench)]);
    assert_eq!(failed.assess().verdict, Fail);
    settled.settings.persons_settle = false;
    assert_eq!(settled.assess().verdict, Inconclusive);
}

#[test]
fn evidence_stands_in_for_cases_but_not_against_a_fail() {
    let evidence = Evidence {
        group: "5.4-1".parse().unwrap(),
        reference: "SESIP 4711".into(),
        is_valid: true,
        fits_scope: true,
        meets_purposes: true,
        fits_depth: true,
    };
    let mut known = without(sound(&[]), "5.4-1-2 a");
    known.evidence.push(evidence.clone());
    let assessment = known.assess();
    assert_eq!(assessment.verdict, Pass);
    assert_eq!(group(&assessment, "5.4-1").evidence, ["SESIP 4711"]);
    let fails = result("5.4-1-2 a", None, Outcome::Fail, Source::Bench);
    assert_eq!(with(known.clone(), [fails]).assess().verdict, Fail);
    known.evidence = vec![Evidence {
        meets_purposes: false,
        ..evidence
    }];
    assert_eq!(known.assess().verdict, Inconclusive);
}

#[test]
fn a_case_that_fails_in_part_fails_unless_it_is_to_be_performed_in_full() {
    let known = without(sound(&[]), "5.1-1-2 a");
    let fails = result("5.1-1-2 b", None, Outcome::Fail, Source::Bench);
    let mut known = with(known, [fails]);
    assert_eq!(group(&known.assess(), "5.1-1").verdict, Some(Fail));
    known.settings.fail_before_inconclusive = false;
    assert_eq!(group(&known.assess(), "5.1-1").verdict, Some(Inconclusive));
}

#[test]
fn what_is_claimed_and_has_nothing_that_applies_is_open() {
    let known = without(without(sound(&[]), "5.10-1-1 a"), "5.10-1-1 b");
    let absent = ["5.10-1-1 a", "5.10-1-1 b"]
        .map(|id| result(id, None, Outcome::NotApplicable, Source::Rule));
    let assessment = with(known, absent).assess();
    assert_eq!(verdict_of(&assessment, "5.10-1-1 a"), None);
    assert_eq!(group(&assessment, "5.10-1").verdict, Some(Inconclusive));
}

#[test]
fn cases_of_ones_own_count_where_they_fail() {
    let own = |outcome| result("acme-1 a", None, outcome, Source::Bench);
    let known = with(sound(&[]), [own(Outcome::Inconclusive)]);
    assert_eq!(known.assess().verdict, Pass);
    let mut known = with(known, [own(Outcome::Fail)]);
    let assessment = known.assess();
    assert_eq!(assessment.verdict, Fail);
    assert_eq!(assessment.own[0].id.to_string(), "acme-1");
    known.settings.own_cases = false;
    assert_eq!(known.assess().verdict, Pass);
}

/// UK PSTI's edition knows no anonymisation, and authentication of users has to be by best practice always.
#[test]
fn an_older_edition_has_its_own_provisions_and_conditions() {
    let mut known = sound(&[
        ("6-8", Support::No, ""),
        ("5.1-3", Support::NotApplicable, "no cryptography"),
    ]);
    assert_eq!(known.assess().verdict, Pass);
    known.edition = Edition::V2;
    let assessment = known.assess();
    assert_eq!(assessment.groups.len(), 72);
    assert_eq!(assessment.units().count(), 238);
    assert_eq!(assessment.verdict, Fail);
    let faults: Vec<_> = assessment
        .statement
        .iter()
        .map(|f| f.provision.to_string())
        .collect();
    assert_eq!(faults, ["5.1-3"]);
}

#[test]
fn each_setting_is_about_a_rule_that_leaves_something_open() {
    let names: toml::Table = toml::Table::try_from(Settings::default()).unwrap();
    let told: BTreeSet<&str> = Settings::RULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        told
    );
    for (_, rule) in Settings::RULES {
        assert!(Rules::shipped().rule(rule).is_some(), "{rule}");
    }
}

#[test]
fn settings_are_read_from_files_and_unknown_ones_refused() {
    let settings: Settings = toml::from_str("unanswered = \"fail\"").unwrap();
    assert_eq!(settings.unanswered, Gap::Fail);
    assert!(settings.fail_before_inconclusive);
    assert!(toml::from_str::<Settings>("anwsered = \"fail\"").is_err());
}

// ------------------------------------------------------------------------------------------------- whatever is known

fn any_unit() -> impl Strategy<Value = UnitId> {
    let mut units: Vec<UnitId> = Catalogue::shipped().units().map(|(id, _)| id).collect();
    units.push(unit("acme-1 a"));
    proptest::sample::select(units)
}

fn any_result() -> impl Strategy<Value = UnitResult> {
    let row = proptest::option::of(proptest::sample::select(vec!["A", "B", "C"]));
    let outcome = proptest::sample::select(vec![
        Outcome::NotApplicable,
        Outcome::Pass,
        Outcome::Inconclusive,
        Outcome::Fail,
    ]);
    let source = proptest::sample::select(vec![Source::Rule, Source::Bench, Source::Person]);
    (any_unit(), row, outcome, source).prop_map(|(unit, row, outcome, source)| UnitResult {
        unit,
        row: row.map(str::to_owned),
        outcome,
        source,
    })
}

/// All claimed, but some.
fn any_ics(but: usize) -> impl Strategy<Value = Ics> {
    let support =
        proptest::sample::select(vec![Some(Support::No), Some(Support::NotApplicable), None]);
    let other = (
        any::<proptest::sample::Index>(),
        support,
        proptest::bool::ANY,
    );
    proptest::collection::vec(other, 0..=but).prop_map(|others| {
        let ids: Vec<ProvisionId> = Catalogue::shipped()
            .groups()
            .map(|g| g.id.clone())
            .collect();
        let claim = |support, detail: &str| {
            let detail = detail.to_owned();
            Claim { support, detail }
        };
        let claims = ids.iter().map(|id| (id.clone(), claim(Support::Yes, "")));
        let mut claims: BTreeMap<ProvisionId, Claim> = claims.collect();
        for (nth, support, has_reason) in others {
            let id = nth.get(&ids);
            let detail = if has_reason { "for a reason" } else { "" };
            match support {
                Some(support) => claims.insert(id.clone(), claim(support, detail)),
                None => claims.remove(id),
            };
        }
        claims.into_iter().collect()
    })
}

/// Many results on the same few units, and a sound product below: else nothing would ever pass.
fn any_known() -> impl Strategy<Value = Known> {
    known_with(40, 30, 5, 0.7)
}

fn known_with(
    results: usize,
    claims: usize,
    rows: usize,
    sound_ones: f64,
) -> impl Strategy<Value = Known> {
    let results = proptest::collection::vec(any_result(), 0..=results);
    let edition = proptest::sample::select(vec![Edition::V3, Edition::V2]);
    let is_sound = proptest::bool::weighted(sound_ones);
    let rows = proptest::collection::btree_map(
        any_unit(),
        proptest::collection::btree_set(
            proptest::sample::select(vec!["A".to_owned(), "B".to_owned()]),
            1..3,
        ),
        0..=rows,
    );
    (any_ics(claims), results, edition, is_sound, rows).prop_map(
        |(ics, results, edition, is_sound, rows)| {
            let below = if is_sound {
                sound(&[]).results
            } else {
                Vec::new()
            };
            Known {
                edition,
                ics,
                results: below.into_iter().chain(results).collect(),
                rows,
                ..Known::default()
            }
        },
    )
}

/// Every verdict in the tree, by its name.
fn all(assessment: &Assessment) -> BTreeMap<String, Option<Verdict>> {
    let mut all = BTreeMap::from([("whole".to_owned(), Some(assessment.verdict))]);
    for group in &assessment.groups {
        all.insert(format!("group {}", group.id), group.verdict);
    }
    let groups = assessment.groups.iter().flat_map(|group| &group.cases);
    for case in groups.chain(&assessment.own) {
        all.insert(format!("case {}", case.id), case.verdict);
        for unit in &case.units {
            all.insert(format!("unit {}", unit.id), unit.verdict);
        }
    }
    all
}

fn weight(verdict: Option<Verdict>) -> u8 {
    // What does not apply is no worse than what passes.
    verdict.map_or(0, Verdict::weight)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_fail_never_disappears(known in any_known(), unit in any_unit(), row in "[A-D]?") {
        let row = (!row.is_empty()).then_some(row);
        let is_one_enough = row.is_some() && Rules::shipped().is_one_row_enough(&unit);
        prop_assume!(!is_one_enough);
        let mut known = known;
        known.results.push(UnitResult { unit: unit.clone(), row, outcome: Outcome::Fail, source: Source::Bench });
        let assessment = known.assess();
        let all = all(&assessment);
        let Some(verdict) = all.get(&format!("unit {unit}")) else {
            // The edition does not have it.
            prop_assert!(status(known.edition, &unit.case.provision).is_none());
            return Ok(());
        };
        prop_assert_eq!(*verdict, Some(Fail));
        prop_assert_eq!(all[&format!("case {}", unit.case)], Some(Fail));
        let provision = &unit.case.provision;
        let is_claimed = known.ics.get(provision).is_some_and(|claim| claim.support == Support::Yes);
        if is_claimed {
            prop_assert_eq!(all[&format!("group {provision}")], Some(Fail));
        }
        if is_claimed || provision.is_word() {
            prop_assert_eq!(assessment.verdict, Fail);
        }
        let is_denied = known.ics.get(provision).is_some_and(|claim| claim.support == Support::NotApplicable);
        prop_assert!(!is_denied || assessment.verdict != Pass);
    }

    #[test]
    fn order_never_matters(known in any_known(), seed in any::<u64>()) {
        let mut other = known.clone();
        // A fixed shuffle by the seed.
        other.results.sort_by_key(|result| {
            let mut hash = seed;
            for byte in format!("{result:?}").bytes() {
                hash = hash.wrapping_mul(31).wrapping_add(byte.into());
            }
            hash
        });
        prop_assert_eq!(known.assess(), other.assess());
    }

    #[test]
    fn adding_a_pass_never_worsens(known in any_known(), unit in any_unit(), row in "[A-D]?", source in proptest::sample::select(vec![Source::Rule, Source::Bench, Source::Person])) {
        let before = all(&known.assess());
        let row = (!row.is_empty()).then_some(row);
        let passes = UnitResult { unit: unit.clone(), row, outcome: Outcome::Pass, source };
        let after = all(&with(known, [passes]).assess());
        for (name, verdict) in after {
            let earlier = before.get(&name).copied().flatten();
            prop_assert!(weight(verdict) <= weight(earlier), "{}: {:?} was {:?}", name, verdict, earlier);
        }
    }

    #[test]
    fn not_applicable_is_neutral(known in any_known(), nth in any::<proptest::sample::Index>()) {
        prop_assume!(!known.results.is_empty());
        let beside = nth.get(&known.results);
        let neutral = UnitResult { outcome: Outcome::NotApplicable, ..beside.clone() };
        let before = all(&known.assess());
        prop_assert_eq!(before, all(&with(known, [neutral]).assess()));
    }

    #[test]
    fn every_unit_is_accounted_for_once(known in any_known()) {
        let assessment = known.assess();
        let told: Vec<UnitId> = assessment.units().map(|(_, unit)| unit.id.clone()).collect();
        let of_edition = |id: &UnitId| status(known.edition, &id.case.provision).is_some();
        let units = Catalogue::shipped().units().map(|(id, _)| id);
        prop_assert_eq!(told, units.filter(of_edition).collect::<Vec<_>>());
        // Nothing that somebody found is left out.
        let own = assessment.own.iter().flat_map(|case| &case.units);
        let found: usize = assessment.units().map(|(_, unit)| unit).chain(own)
            .map(|unit| unit.rows.iter().filter(|row| !row.sources.is_empty()).count()).sum();
        let known_rows: BTreeSet<_> = known.results.iter()
            .filter(|r| r.unit.case.provision.is_word() || of_edition(&r.unit))
            .map(|r| (&r.unit, &r.row)).collect();
        prop_assert_eq!(found, known_rows.len());
    }

    /// The worst mistake would be a PASS that nobody has shown.
    #[test]
    fn a_pass_is_one_of_everything_that_is_claimed(known in known_with(3, 2, 0, 1.0)) {
        let assessment = known.assess();
        prop_assume!(assessment.verdict == Pass);
        for (group, unit) in assessment.units() {
            match group.claim {
                Some(Support::Yes) => prop_assert!(weight(unit.verdict) == 0, "{}", unit.id),
                Some(Support::No) => prop_assert!(!group.mandatory),
                Some(Support::NotApplicable) => {
                    let status = status(known.edition, &group.id);
                    prop_assert!(status.is_some_and(|status| status.conditional));
                    prop_assert!(unit.verdict != Some(Fail), "{}", unit.id);
                }
                None => prop_assert!(false, "{} is not answered", group.id),
            }
        }
    }
}
