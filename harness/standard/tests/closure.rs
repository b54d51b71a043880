//! The data is whole: what one file names, another has, and nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};

use provebench_standard::cryptography::{Cryptography, Source as CryptographySource};
use provebench_standard::declared::{FactKind, facts};
use provebench_standard::editions::{Change, Editions};
use provebench_standard::model::Model;
use provebench_standard::rules::Rules;
use provebench_standard::schemes::{schemes, verticals};
use provebench_standard::{
    CaseInfo, CaseKind, Catalogue, Decision, Entry, FieldKind, FieldRef, Guidance, IXIT_TABLES,
    ProForma, Provision, ProvisionId, Status, UnitId,
};

/// Those of EN 303 645, without words of ours.
fn provisions() -> impl Iterator<Item = &'static Provision> {
    let provisions = Catalogue::shipped().provisions();
    provisions.filter(|provision| !provision.id.is_word())
}

/// Those of TS 103 701, without ours.
fn cases() -> impl Iterator<Item = &'static CaseInfo> {
    let cases = Catalogue::shipped().cases();
    cases.filter(|case| !case.id.provision.is_word())
}

fn is_provision(id: &ProvisionId) -> bool {
    provisions().any(|provision| provision.id == *id)
}

#[track_caller]
fn assert_provisions<'a>(whose: &str, ids: impl IntoIterator<Item = &'a ProvisionId>) {
    for id in ids {
        assert!(is_provision(id), "{whose}: {id}");
    }
}

#[track_caller]
fn assert_once(of: &str, ids: impl IntoIterator<Item = impl ToString>) {
    let mut seen = BTreeSet::new();
    for id in ids {
        let id = id.to_string();
        assert!(seen.insert(id.clone()), "{of}: {id} is there twice");
    }
}

#[test]
fn nothing_is_missing_by_number() {
    let catalogue = Catalogue::shipped();
    let form = ProForma::shipped();
    assert_eq!(provisions().count(), 78);
    assert_eq!(catalogue.groups().count(), 78);
    assert_eq!(cases().count(), 132);
    assert_eq!(catalogue.units().count(), 260);
    assert_eq!(catalogue.conditions().len(), 5);
    assert_eq!(catalogue.features().len(), 27);
    assert_eq!(form.tables().len(), 29);
    assert_eq!(form.tables().iter().flat_map(|t| &t.fields).count(), 144);
    assert_eq!(form.rules().len(), 61);
    assert_eq!(form.rules().iter().filter(|rule| rule.machine).count(), 47);
    assert_eq!(Guidance::all().count(), 78);
    assert_eq!(Rules::shipped().rule.len(), 71);
    let cryptography = Cryptography::shipped();
    assert_eq!(cryptography.suite.len() + cryptography.entry.len(), 458);
    assert_eq!(verticals().len(), 15);
    assert_eq!(schemes().len(), 19);
}

#[test]
fn who_decides_the_units_is_known() {
    let mut count: BTreeMap<Decision, usize> = BTreeMap::new();
    for (_, unit) in Catalogue::shipped().units() {
        *count.entry(unit.who).or_default() += 1;
    }
    let count: Vec<_> = count.into_iter().collect();
    assert_eq!(
        count,
        [
            (Decision::Document, 48),
            (Decision::Judge, 89),
            (Decision::Bench, 70),
            (Decision::Assist, 40),
            (Decision::Person, 13)
        ]
    );
}

#[test]
fn each_edition_has_the_provisions_that_its_entry_says() {
    let editions = Editions::shipped();
    let numbers = |id: &str| {
        let document = editions.document(id).unwrap();
        [
            document.provisions,
            document.mandatory,
            document.recommended,
        ]
        .map(Option::unwrap)
    };
    let mandatory = provisions().filter(|p| p.status.mandatory).count();
    assert_eq!(
        numbers("en-303-645-v3.1.3"),
        [78, mandatory, 78 - mandatory]
    );
    assert_eq!(mandatory, 36);
    let old: Vec<_> = editions.provisions().collect();
    let mandatory = old.iter().filter(|p| p.status.mandatory).count();
    assert_eq!(
        numbers("en-303-645-v2.1.1"),
        [old.len(), mandatory, old.len() - mandatory]
    );
    assert_eq!((old.len(), mandatory), (68, 33));
}

#[test]
fn each_provision_has_its_group_guidance_and_clause() {
    let catalogue = Catalogue::shipped();
    for provision in provisions() {
        let group = catalogue.group(&provision.id);
        let group = group.unwrap_or_else(|| panic!("{}", provision.id));
        assert!(!group.cases.is_empty(), "{}", provision.id);
        assert!(Guidance::on(&provision.id).is_some(), "{}", provision.id);
        let clause = provision.id.clause();
        assert!(catalogue.clause(&clause).is_some(), "{clause}");
    }
    assert_provisions("groups", catalogue.groups().map(|group| &group.id));
    assert_provisions("guidance", Guidance::all().map(|(id, _)| id));
}

#[test]
fn each_status_depends_on_conditions_and_features_that_are_there() {
    let catalogue = Catalogue::shipped();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for provision in catalogue.provisions() {
        let Status {
            condition, feature, ..
        } = &provision.status;
        if let Some(key) = condition {
            assert!(catalogue.condition(key).is_some(), "{provision:?}");
        }
        if let Some(key) = feature {
            assert!(catalogue.feature(key).is_some(), "{provision:?}");
        }
        used.extend(condition.iter().chain(feature).map(String::as_str));
    }
    let known = catalogue.conditions().into_iter();
    for (key, _) in known.chain(catalogue.features()) {
        assert!(used.contains(key), "no provision depends on {key}");
    }
    for old in Editions::shipped().provisions() {
        for key in &old.status.conditions {
            assert!(Editions::shipped().condition(key).is_some(), "{old:?}");
        }
    }
}

#[test]
fn units_are_lettered_from_a_without_gaps() {
    for case in Catalogue::shipped().cases() {
        let letters: String = case.units.keys().collect();
        assert!(!letters.is_empty(), "{}", case.id);
        assert!(
            "abcdefghijklmnopqrstuvwxyz".starts_with(&letters),
            "{}: {letters}",
            case.id
        );
    }
}

#[test]
fn each_unit_reads_fields_that_are_there() {
    let columns = ["Status", "Support", "Detail"];
    for (id, unit) in Catalogue::shipped().units() {
        assert!(!unit.fields.is_empty(), "{id} reads nothing");
        for field in &unit.fields {
            if field.is_of_ics() {
                assert!(columns.contains(&field.field.as_str()), "{id}: {field}");
            } else {
                assert!(ProForma::shipped().field(field).is_some(), "{id}: {field}");
            }
        }
        assert_once(&id.to_string(), &unit.fields);
    }
}

/// What a unit shows and how is decided has to be said; what a rule or a person decides from documents needs documents.
#[test]
fn each_unit_says_what_and_how() {
    for (id, unit) in Catalogue::shipped().units() {
        assert!(!unit.shows.is_empty() && !unit.how.is_empty(), "{id}");
        let kind = Catalogue::shipped().case(&id.case).unwrap().kind;
        let is_of_documents = matches!(unit.who, Decision::Document | Decision::Judge);
        let is_of_bench = matches!(unit.who, Decision::Bench | Decision::Assist);
        match kind {
            CaseKind::Conceptual => assert!(!is_of_bench || unit.who == Decision::Assist, "{id}"),
            CaseKind::Functional => assert!(!is_of_documents, "{id}"),
            CaseKind::Both => {}
        }
    }
}

#[test]
fn each_group_names_the_tables_that_its_units_read() {
    let catalogue = Catalogue::shipped();
    for group in catalogue.groups() {
        let cases = group.cases.iter().map(|id| catalogue.case(id).unwrap());
        let read: BTreeSet<&str> = cases
            .flat_map(|case| &case.ixit)
            .map(String::as_str)
            .collect();
        let read: Vec<&str> = IXIT_TABLES
            .into_iter()
            .filter(|t| read.contains(t))
            .collect();
        assert_eq!(group.ixit, read, "{}", group.id);
    }
}

#[test]
fn the_pro_forma_has_the_tables_in_order() {
    let tables = ProForma::shipped().tables();
    let ids: Vec<&str> = tables.iter().map(|table| table.id.as_str()).collect();
    assert_eq!(ids, IXIT_TABLES);
    for (n, table) in (1..).zip(tables) {
        assert_eq!(table.number(), n);
        let has_id = table.fields.iter().any(|field| field.key == "id");
        assert_eq!(has_id, table.entry == Entry::Many, "{}", table.id);
        assert_once(&table.id, table.fields.iter().map(|field| &field.key));
        assert_once(&table.id, table.fields.iter().map(|field| &field.name));
        assert!(
            table.readers().next().is_some(),
            "{} is read by no unit",
            table.id
        );
        for field in &table.fields {
            assert!(
                !(field.required && field.required_when.is_some()),
                "{}.{}",
                table.id,
                field.key
            );
            let is_key = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(field.key.chars().all(is_key), "{}.{}", table.id, field.key);
        }
    }
    let prefixes = tables.iter().filter_map(|table| table.prefix.as_ref());
    assert_once("prefixes", prefixes);
}

#[test]
fn references_between_tables_lead_to_tables_with_ids() {
    let form = ProForma::shipped();
    for table in form.tables() {
        for field in &table.fields {
            if let FieldKind::Reference { refers_to } = &field.kind {
                assert!(!refers_to.is_empty());
                for to in refers_to {
                    let to = form
                        .table(to)
                        .unwrap_or_else(|| panic!("{}.{}: {to}", table.id, field.key));
                    assert_eq!(to.entry, Entry::Many, "{}.{}", table.id, field.key);
                }
            }
            if let FieldKind::Choice { choices } = &field.kind {
                assert!(choices.len() > 1, "{}.{}", table.id, field.key);
            }
        }
    }
}

#[test]
fn rules_of_the_ixit_are_about_tables_and_groups_that_are_there() {
    let form = ProForma::shipped();
    for rule in form.rules() {
        for table in rule.tables.iter().filter(|table| *table != "*") {
            assert!(form.table(table).is_some(), "{}: {table}", rule.id);
        }
        assert_provisions(&rule.id, &rule.groups);
    }
    assert_once("rules", form.rules().iter().map(|rule| &rule.id));
}

#[test]
fn what_rows_can_state_beside_their_fields_is_of_tables_that_are_there() {
    let form = ProForma::shipped();
    assert_once(
        "facts",
        facts()
            .iter()
            .map(|fact| format!("{}.{}", fact.table, fact.key)),
    );
    for fact in facts() {
        let name = format!("{}.{}", fact.table, fact.key);
        assert!(form.table(&fact.table).is_some(), "{name}");
        let refers = fact.kind == FactKind::Ids;
        assert_eq!(!fact.refers_to.is_empty(), refers, "{name}");
        assert!(
            fact.refers_to
                .iter()
                .all(|table| form.table(table).is_some()),
            "{name}"
        );
        let has_words = matches!(fact.kind, FactKind::Word | FactKind::Words);
        assert!(fact.choices.is_empty() || has_words, "{name}");
        assert!(
            fact.kind != FactKind::Word || fact.choices.len() > 1,
            "{name}"
        );
    }
}

#[test]
fn what_became_of_the_older_provisions_is_there() {
    let editions = Editions::shipped();
    for old in editions.provisions() {
        assert!(!old.became.is_empty(), "{}", old.id);
        assert_provisions(
            &old.id.to_string(),
            old.became.iter().map(|became| &became.id),
        );
        // What binds in one edition binds in the other: the headers of the data say so.
        for became in &old.became {
            let new = Catalogue::shipped().provision(&became.id).unwrap();
            if matches!(became.how, Change::Same | Change::Moved | Change::Split) {
                assert_eq!(
                    old.status.mandatory, new.status.mandatory,
                    "{} {}",
                    old.id, new.id
                );
            }
        }
    }
}

#[test]
fn each_provision_is_old_or_new() {
    let editions = Editions::shipped();
    for added in editions.added() {
        let now = Catalogue::shipped().provision(&added.id).unwrap();
        assert_eq!(added.status, now.status, "{}", added.id);
        if !added.beside.is_empty() {
            let beside = added.beside.parse().unwrap();
            assert!(editions.provision(&beside).is_some(), "{}", added.id);
        }
    }
    for provision in provisions() {
        let is_new = editions
            .added()
            .iter()
            .any(|added| added.id == provision.id);
        let is_old = editions.before(&provision.id).next().is_some();
        assert!(is_new || is_old, "{} comes from nowhere", provision.id);
    }
}

#[test]
fn tables_of_the_older_form_became_tables_of_this() {
    for renamed in Editions::shipped().renamed_tables() {
        for table in &renamed.new {
            assert!(IXIT_TABLES.contains(&table.as_str()), "{table}");
        }
    }
    assert_once(
        "editions",
        Editions::shipped().documents().iter().map(|d| &d.id),
    );
}

#[test]
fn verdict_rules_are_about_cases_and_units_that_are_there() {
    let catalogue = Catalogue::shipped();
    let rules = Rules::shipped();
    assert_once("rules", rules.rule.iter().map(|rule| &rule.id));
    for state in &rules.state {
        for place in &state.places {
            let case = catalogue
                .case(&place.case)
                .unwrap_or_else(|| panic!("{place}"));
            let has = |letter| case.units.contains_key(&letter);
            assert!(place.letter.is_none_or(has), "{place}");
        }
    }
    for case in rules
        .exception
        .iter()
        .flat_map(|exception| &exception.cases)
    {
        assert!(catalogue.case(case).is_some(), "{case}");
    }
    for exception in &rules.exception {
        for unit in &exception.one_row {
            assert!(exception.cases.contains(&unit.case), "{unit}");
            assert!(catalogue.unit(unit).is_some(), "{unit}");
        }
    }
    let reused = rules
        .reuse
        .iter()
        .flat_map(|reuse| reuse.of.iter().chain([&reuse.unit]));
    let verbs = &rules.verbs;
    let verbs = [&verbs.check, &verbs.assess_by_rule, &verbs.check_by_person];
    let units: Vec<&UnitId> = reused.chain(verbs.into_iter().flatten()).collect();
    for unit in units {
        assert!(catalogue.unit(unit).is_some(), "{unit}");
    }
}

#[test]
fn verbs_agree_with_who_decides() {
    let who = |unit: &UnitId| Catalogue::shipped().unit(unit).unwrap().who;
    let verbs = &Rules::shipped().verbs;
    for unit in &verbs.assess_by_rule {
        assert_eq!(who(unit), Decision::Document, "{unit}");
    }
    for unit in &verbs.check_by_person {
        assert_eq!(who(unit), Decision::Judge, "{unit}");
    }
}

#[test]
fn states_lead_from_state_to_state() {
    let model = Model::shipped();
    assert_once("states", model.state.state.iter().map(|state| &state.id));
    for transition in &model.state.transition {
        for state in [&transition.from, &transition.to] {
            assert!(model.state(state).is_some(), "{}: {state}", transition.id);
        }
        assert_provisions(&transition.id, &transition.provisions);
    }
    for state in &model.state.state {
        assert_provisions(&state.id, &state.provisions);
    }
}

#[test]
fn links_lead_from_place_to_place() {
    let architecture = &Model::shipped().architecture;
    let places: Vec<&str> = architecture
        .place
        .iter()
        .map(|place| place.id.as_str())
        .collect();
    for link in &architecture.link {
        for place in [&link.from, &link.to] {
            assert!(places.contains(&place.as_str()), "{place}");
        }
    }
    let interfaces = &architecture.interface;
    for kind in interfaces
        .iter()
        .flat_map(|i| i.of.iter().chain(&i.runs_on))
    {
        assert!(
            interfaces.iter().any(|interface| interface.id == *kind),
            "{kind}"
        );
    }
    let parts = [&architecture.role, &architecture.part, &architecture.place];
    for part in parts.into_iter().flatten() {
        assert_provisions(&part.id, &part.matters_for);
    }
    for interface in interfaces {
        assert_provisions(&interface.id, &interface.matters_for);
    }
}

#[test]
fn guidance_refers_to_sources_that_are_told() {
    for (id, guidance) in Guidance::all() {
        for see in &guidance.see {
            assert!(Guidance::source(see).is_some(), "{id}: {see}");
        }
    }
}

#[test]
fn cryptography_has_sources_and_no_doubles() {
    let cryptography = Cryptography::shipped();
    assert_once("suites", cryptography.suite.iter().map(|suite| &suite.name));
    assert_once("suites", cryptography.suite.iter().map(|suite| &suite.iana));
    assert_once("entries", cryptography.entry.iter().map(|entry| &entry.id));
    let of_suites = cryptography.suite.iter();
    let of_suites = of_suites.map(|s| (&s.name, &s.source, s.source_checked));
    let of_entries = cryptography.entry.iter();
    let of_entries = of_entries.map(|e| (&e.id, &e.source, e.source_checked));
    for (what, sources, checked) in of_suites.chain(of_entries) {
        let catalogue = |source: &CryptographySource| cryptography.source.get(&source.id);
        assert!(!sources.is_empty(), "{what}");
        for source in sources {
            assert!(catalogue(source).is_some(), "{what}: {}", source.id);
        }
        let was_read = sources.iter().any(|s| catalogue(s).unwrap().read);
        assert!(
            was_read || !checked,
            "{what} is checked, and no source was read"
        );
    }
}

#[test]
fn schemes_and_verticals_come_down_to_provisions() {
    assert_once("schemes", schemes().iter().map(|scheme| &scheme.id));
    assert_once("verticals", verticals().iter().map(|vertical| &vertical.id));
    for scheme in schemes() {
        assert_once(&scheme.id, scheme.requirements.iter().map(|r| &r.id));
        for requirement in &scheme.requirements {
            assert_provisions(&scheme.id, &requirement.provisions);
        }
        let editions = Editions::shipped();
        let is_id = |edition: &&String| !edition.contains(' ');
        for edition in scheme.edition.iter().filter(is_id) {
            assert!(
                editions.document(edition).is_some(),
                "{}: {edition}",
                scheme.id
            );
        }
    }
    for vertical in verticals() {
        assert_provisions(&vertical.id, &vertical.touches);
    }
}

#[test]
fn fields_of_units_are_shown_as_they_are_written() {
    let field: FieldRef = "ICS.Support".parse().unwrap();
    assert!(field.is_of_ics());
    assert_eq!(field.to_string(), "ICS.Support");
}
