//! User data outlives power cuts, and a factory reset leaves none of it.

mod common;

use std::collections::BTreeMap;

use common::{Nor, blank};
use embassy_futures::block_on;
use image::Journal;
use rstest::{fixture, rstest};
use sensor::{
    lockout::{Phase, SecurityState},
    memory,
    user_data::{Entry, Event, MAX_TEXT, Setting, Text, Unusable, UserData},
};

fn state(nor: &Nor) -> Journal<Nor, SecurityState> {
    Journal::new(nor.clone(), memory::SECURITY_STATE)
}

/// What the application does at its start.
fn start(nor: &Nor) -> Result<UserData<Nor>, Unusable> {
    UserData::open(nor.clone(), &mut state(nor))
}

fn set(nor: &Nor, setting: Setting, text: &str) -> Result<(), Unusable> {
    block_on(start(nor)?.set(setting, text))
}

fn note(nor: &Nor, text: &str) -> Result<(), Unusable> {
    let note = Event::Note(Text::try_from(text).unwrap());
    block_on(start(nor)?.record(&Entry {
        uptime: 7,
        event: note,
    }))
}

fn settings(nor: &Nor) -> BTreeMap<&'static str, String> {
    let mut data = start(nor).unwrap();
    Setting::ALL
        .into_iter()
        .filter_map(|setting| {
            Some((
                setting.name(),
                block_on(data.get(setting)).unwrap()?.to_string(),
            ))
        })
        .collect()
}

fn notes(nor: &Nor) -> Vec<String> {
    let mut notes = Vec::new();
    let mut data = start(nor).unwrap();
    block_on(data.history(|entry| {
        if let Event::Note(text) = entry.event {
            notes.push(text.to_string());
        }
    }))
    .unwrap();
    notes
}

/// Whether the text is anywhere in the flash.
fn holds(nor: &Nor, text: &str) -> bool {
    let all = nor.dump(0, memory::HISTORY.end as usize);
    all.windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// A device in use: each setting was changed often, so that old copies lie about.
#[fixture]
fn used() -> Nor {
    let nor = blank();
    for round in 0..200 {
        for setting in Setting::ALL {
            set(&nor, setting, &format!("{} {round}", setting.name())).unwrap();
        }
        note(&nor, &format!("note {round}")).unwrap();
    }
    nor
}

#[rstest]
fn settings_and_notes_are_there_after_a_restart(used: Nor) {
    assert_eq!(
        settings(&used).into_values().collect::<Vec<_>>(),
        [
            "consent 199",
            "owner 199",
            "room 199",
            "schedule 199",
            "updates 199"
        ]
    );
    assert_eq!(notes(&used).last().map(String::as_str), Some("note 199"));
    assert!(
        holds(&used, "owner 198"),
        "there is nothing that a reset could miss"
    );
}

#[rstest]
fn a_power_cut_at_any_store_of_a_setting_leaves_the_old_or_the_new_value(used: Nor) {
    // So many that a page is filled, migrated and erased on the way.
    for round in 0..100 {
        let new = format!("room {round} {}", "x".repeat(40));
        let old = settings(&used);
        let stores = {
            let copy = used.copy();
            set(&copy, Setting::Room, &new).unwrap();
            copy.stores()
        };
        // Long ones erase a page: their first and last stores, and some in between.
        let step = stores.div_ceil(60);
        for cut in (1..=stores).filter(|cut| *cut < 30 || stores - cut < 30 || cut % step == 0) {
            let copy = used.copy();
            copy.cut_at(cut);
            assert!(set(&copy, Setting::Room, &new).is_err());
            copy.power_on();
            let now = settings(&copy);
            assert!(
                [&old["room"], &new].contains(&&now["room"]),
                "store {cut}: {now:?}"
            );
            assert_eq!(
                (&now["owner"], &now["schedule"]),
                (&old["owner"], &old["schedule"])
            );
            set(&copy, Setting::Room, "after").unwrap();
            assert_eq!(settings(&copy)["room"], "after");
        }
        set(&used, Setting::Room, &new).unwrap();
    }
}

#[rstest]
fn a_factory_reset_leaves_nothing(used: Nor) {
    start(&used).unwrap().forget(&used).unwrap();
    assert_eq!((settings(&used).len(), notes(&used).len()), (0, 0));
    for trace in ["owner ", "room ", "schedule ", "note "] {
        assert!(!holds(&used, trace), "{trace:?} is still in flash");
    }
    assert_eq!(
        state(&used).load().unwrap(),
        SecurityState {
            wrong: 0,
            user_data: Phase::InUse
        }
    );
}

#[rstest]
fn a_factory_reset_that_has_begun_is_finished_at_the_next_start(used: Nor) {
    let stores = {
        let copy = used.copy();
        start(&copy).unwrap().forget(&copy).unwrap();
        copy.stores()
    };
    let mut kept = 0;
    for cut in (1..=stores).filter(|cut| *cut < 12 || cut % 1009 == 0 || stores - cut < 12) {
        let copy = used.copy();
        copy.cut_at(cut);
        assert!(start(&copy).unwrap().forget(&copy).is_err());
        copy.power_on();
        if settings(&copy).is_empty() {
            assert!(!holds(&copy, "owner "), "store {cut} of {stores}");
            set(&copy, Setting::Owner, "next").unwrap();
        } else {
            kept += 1;
        }
    }
    // Up to the last word of the record that begins it, nothing is lost.
    assert_eq!(kept, 8);
}

/// A factory reset of a running device.
trait Forget {
    fn forget(&mut self, nor: &Nor) -> Result<(), Unusable>;
}

impl Forget for UserData<Nor> {
    fn forget(&mut self, nor: &Nor) -> Result<(), Unusable> {
        block_on(self.factory_reset(&mut state(nor)))
    }
}

#[rstest]
fn the_history_makes_room() {
    let nor = blank();
    let text = "n".repeat(MAX_TEXT);
    for _ in 0..1000 {
        note(&nor, &text).unwrap();
    }
    let notes = notes(&nor);
    assert!((50..1000).contains(&notes.len()), "{}", notes.len());
    assert!(notes.iter().all(|note| *note == text));
}

#[rstest]
fn measurements_keep_their_values(#[values(-4000, -1, 0, 2150, i16::MAX)] centicelsius: i16) {
    let nor = blank();
    let entry = Entry {
        uptime: 123_456,
        event: Event::Measured {
            centicelsius,
            humidity: 47,
        },
    };
    let mut data = start(&nor).unwrap();
    block_on(data.record(&entry)).unwrap();
    let mut seen = Vec::new();
    block_on(data.history(|entry| seen.push(entry))).unwrap();
    assert_eq!(seen, [entry]);
}

#[rstest]
#[case::name(Setting::Owner, "Jane", true)]
#[case::umlaut(Setting::Room, "Küche", true)]
#[case::empty(Setting::Owner, "", false)]
#[case::longest(Setting::Owner, &"x".repeat(MAX_TEXT), true)]
#[case::too_long(Setting::Owner, &"x".repeat(MAX_TEXT + 1), false)]
#[case::control(Setting::Owner, "a\x1b[2Jb", false)]
#[case::schedule(Setting::Schedule, "07:00 warm", true)]
#[case::schedule_last(Setting::Schedule, "23:59 off", true)]
#[case::schedule_hour(Setting::Schedule, "24:00 off", false)]
#[case::schedule_minute(Setting::Schedule, "07:60 off", false)]
#[case::schedule_short(Setting::Schedule, "7:00 off", false)]
#[case::schedule_sign(Setting::Schedule, "+7:00 off", false)]
#[case::schedule_words(Setting::Schedule, "early warm", false)]
fn settings_admit(#[case] setting: Setting, #[case] text: &str, #[case] admitted: bool) {
    assert_eq!(setting.admits(text), admitted);
}
