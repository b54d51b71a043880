//! What the standard has, and what there are scripts for.

use super::listing::{Cell, Listing};
use crate::runner::title;
use provebench_script::{Case, Suite, Unit};
use provebench_standard::editions::{Edition, Editions};
use provebench_standard::{CaseInfo, Catalogue, ProvisionId, Status};

pub(super) fn provisions(edition: Edition) -> Listing {
    let catalogue = Catalogue::shipped();
    let editions = Editions::shipped();
    match edition {
        Edition::V3 => {
            let mut listing = Listing::new(["Provision", "Status", "Title", "v2.1.1"]);
            let provisions = catalogue.provisions().filter(|p| !p.id.is_word());
            for provision in provisions {
                listing.add([
                    Cell::text(&provision.id),
                    Cell::text(&provision.status),
                    Cell::text(&provision.title),
                    before(&provision.id),
                ]);
            }
            listing
        }
        Edition::V2 => {
            let mut listing = Listing::new(["Provision", "Status", "Title", "v3.1.3"]);
            for old in editions.provisions() {
                listing.add([
                    Cell::text(&old.id),
                    Cell::text(&old.status),
                    Cell::text(&old.title),
                    Cell::list(old.became.iter().map(|became| &became.id)),
                ]);
            }
            listing
        }
    }
}

pub(super) fn groups(edition: Edition) -> Listing {
    let catalogue = Catalogue::shipped();
    let columns = ["Group", "Status", "Applies", "Cases", "IXIT", "v2.1.1"];
    let mut listing = Listing::new(columns);
    for group in catalogue.groups().filter(|group| is_in(edition, &group.id)) {
        let status = catalogue.provision(&group.id).map(|p| &p.status);
        listing.add([
            Cell::text(&group.id),
            Cell::text(&status.map(Status::to_string).unwrap_or_default()),
            Cell::text(&group.applies),
            Cell::list(&group.cases),
            Cell::list(&group.ixit),
            before(&group.id),
        ]);
    }
    listing
}

/// Those of TS 103 701 in its order, then one's own.
pub(super) fn cases(edition: Edition, suite: &Suite) -> Listing {
    let columns = [
        "Case", "Kind", "Shows", "Units", "Script", "State", "Sample", "Tags",
    ];
    let mut listing = Listing::new(columns);
    let of_standard = of_standard(edition).map(|info| (&info.id, Some(info), suite.case(&info.id)));
    let own = suite
        .cases()
        .iter()
        .filter(|case| case.id.provision.is_word());
    let own = own.map(|case| (&case.id, None, Some(case)));
    for (id, info, script) in of_standard.chain(own) {
        let purpose = info.map_or("", |info| &info.purpose);
        let of_script =
            |text: fn(&Case) -> String| Cell::text(&script.map(text).unwrap_or_default());
        listing.add([
            Cell::text(id),
            Cell::text(&info.map(|info| info.kind.to_string()).unwrap_or_default()),
            Cell::text(script.map_or(purpose, |case| title(&case.doc))),
            Cell::text(&info.map(letters).unwrap_or_default()),
            Cell::list(script.iter().flat_map(|case| case.units.iter().map(unit))),
            of_script(|case| case.state.to_string()),
            of_script(|case| case.sample.to_string()),
            Cell::list(script.iter().flat_map(|case| &case.tags)),
        ]);
    }
    listing
}

pub(super) fn units(edition: Edition, suite: &Suite) -> Listing {
    let mut listing = Listing::new(["Unit", "Who", "Shows", "Fields", "Script"]);
    let units = Catalogue::shipped().units();
    for (id, unit) in units.filter(|(id, _)| is_in(edition, &id.case.provision)) {
        let script = suite.case(&id.case);
        let script = script.filter(|case| case.units.iter().any(|unit| unit.letter == id.letter));
        listing.add([
            Cell::text(&id),
            Cell::text(&unit.who),
            Cell::text(&unit.shows),
            Cell::list(&unit.fields),
            Cell::text(script.map_or("", |case| &case.file)),
        ]);
    }
    listing
}

fn of_standard(edition: Edition) -> impl Iterator<Item = &'static CaseInfo> {
    let cases = Catalogue::shipped().cases();
    cases.filter(move |case| {
        let provision = &case.id.provision;
        !provision.is_word() && is_in(edition, provision)
    })
}

/// Whether an edition has a provision, under whatever number.
fn is_in(edition: Edition, provision: &ProvisionId) -> bool {
    edition == Edition::V3 || Editions::shipped().before(provision).next().is_some()
}

/// The provisions of v2.1.1 whose place it took.
fn before(provision: &ProvisionId) -> Cell {
    Cell::list(
        Editions::shipped()
            .before(provision)
            .map(|(old, _)| &old.id),
    )
}

fn letters(case: &CaseInfo) -> String {
    case.units.keys().collect()
}

/// A unit's letter, and the IXIT tables whose rows it runs for.
fn unit(unit: &Unit) -> String {
    match &unit.for_each[..] {
        [] => unit.letter.to_string(),
        tables => format!("{} [{}]", unit.letter, tables.join(", ")),
    }
}
