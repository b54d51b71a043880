//! Which image is started; and that an update survives a power cut at each single store.

mod nor;

use ed25519_dalek::{Signer, SigningKey};
use image::{
    BootState, Decision, HEADER_SIZE, Header, Journal, Refusal, SignedHeader, Slot, Stager, Trial,
    Version, decide, header::SIGNED_SIZE,
};
use nor::{Nor, PowerCut, SECTOR};
use rstest::rstest;

const OLD: Version = Version::new(1, 0, 0);
const NEW: Version = Version::new(1, 1, 0);
const ADDRESS: u32 = 0x2000_0400;
/// Flash layout of the tests: journal, slot A, slot B.
const SLOT_SIZE: u32 = 4 * SECTOR;

fn slot_base(slot: Slot) -> u32 {
    match slot {
        Slot::A => 2 * SECTOR,
        Slot::B => 2 * SECTOR + SLOT_SIZE,
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn image(version: Version, words: u32) -> Vec<u8> {
    let payload: Vec<u8> = (0..words)
        .flat_map(|word| (word * 3 + u32::from(version.minor)).to_le_bytes())
        .collect();
    let mut image = Header::describe("PB-RS1", version, ADDRESS, &payload)
        .to_signed_bytes()
        .to_vec();
    let signature = key().sign(&image[..SIGNED_SIZE]);
    image.extend(signature.to_bytes());
    image.extend(payload);
    image
}

fn verify(nor: &Nor, slot: Slot) -> Result<Version, Refusal> {
    let base = slot_base(slot) as usize;
    let header = SignedHeader::parse(&nor.dump(base, HEADER_SIZE).try_into().unwrap())?;
    header.verify_signature(&key().verifying_key())?;
    header.verify_fit("PB-RS1", ADDRESS, SLOT_SIZE - HEADER_SIZE as u32)?;
    let payload = nor.dump(base + HEADER_SIZE, header.header().payload_len as usize);
    header.header().verify_payload(&payload)?;
    Ok(header.header().version)
}

/// What the boot loader does.
fn boot(nor: &Nor) -> Result<Decision, PowerCut> {
    let mut journal = Journal::new(nor.clone(), 0);
    let state = journal.load()?;
    let decision = decide(state, |slot| verify(nor, slot));
    journal.store(decision.state)?;
    Ok(decision)
}

/// What the application does once its self-test passed.
fn confirm(nor: &Nor, slot: Slot, version: Version) -> Result<(), PowerCut> {
    let mut journal = Journal::<_, BootState>::new(nor.clone(), 0);
    let state = journal.load()?;
    journal.store(state.confirmed(slot, version))
}

/// What the application does with an image that it is offered.
fn stage(nor: &Nor, slot: Slot, image: &[u8]) -> Result<(), PowerCut> {
    let flash_only = |error| match error {
        image::StageError::Flash(cut) => cut,
        image::StageError::Refused(refusal) => panic!("refused: {refusal}"),
    };
    let mut stager = Stager::begin(nor.clone(), slot_base(slot), SLOT_SIZE, image.len() as u32)
        .map_err(flash_only)?;
    for block in image.chunks(768) {
        stager.write(block).map_err(flash_only)?;
    }
    stager
        .finish(|header| {
            header.verify_signature(&key().verifying_key())?;
            let base = slot_base(slot) as usize + HEADER_SIZE;
            header
                .header()
                .verify_payload(&nor.dump(base, header.header().payload_len as usize))
        })
        .map_err(flash_only)?;
    let mut journal = Journal::new(nor.clone(), 0);
    let state = journal.load()?;
    journal.store(BootState {
        trial: Trial::Pending(slot),
        ..state
    })
}

/// A device as delivered, started once.
fn device() -> Nor {
    let nor = Nor::blank((2 * SECTOR + 2 * SLOT_SIZE) as usize);
    stage_factory(&nor, &image(OLD, 300));
    let decision = boot(&nor).unwrap();
    assert_eq!(decision.start, Some((Slot::A, OLD)));
    confirm(&nor, Slot::A, OLD).unwrap();
    nor
}

fn stage_factory(nor: &Nor, image: &[u8]) {
    use embedded_storage::nor_flash::NorFlash;
    nor.clone().write(slot_base(Slot::A), image).unwrap();
}

#[test]
fn a_device_from_the_factory_starts_slot_a() {
    let decision = boot(&device()).unwrap();
    assert_eq!(decision.start, Some((Slot::A, OLD)));
    assert!(!decision.on_trial);
    assert_eq!(
        decision.state,
        BootState {
            active: Slot::A,
            trial: Trial::None,
            floor: OLD
        }
    );
}

const OK: Result<Version, Refusal> = Ok(NEW);
const BAD: Result<Version, Refusal> = Err(Refusal::Digest);
const STALE: Result<Version, Refusal> = Ok(Version::new(0, 9, 0));

#[rstest]
// No trial.
#[case::active(Slot::A, Trial::None, [OK, OK], Some(Slot::A), false, Trial::None)]
#[case::active_b(Slot::B, Trial::None, [OK, OK], Some(Slot::B), false, Trial::None)]
#[case::active_broken(Slot::A, Trial::None, [BAD, OK], Some(Slot::B), false, Trial::None)]
#[case::active_broken_other_stale(Slot::A, Trial::None, [BAD, STALE], None, false, Trial::None)]
#[case::active_stale(Slot::A, Trial::None, [STALE, OK], Some(Slot::B), false, Trial::None)]
#[case::nothing(Slot::A, Trial::None, [BAD, BAD], None, false, Trial::None)]
// First start of an update.
#[case::pending(Slot::A, Trial::Pending(Slot::B), [OK, OK], Some(Slot::B), true, Trial::Running(Slot::B))]
#[case::pending_a(Slot::B, Trial::Pending(Slot::A), [OK, OK], Some(Slot::A), true, Trial::Running(Slot::A))]
#[case::pending_broken(Slot::A, Trial::Pending(Slot::B), [OK, BAD], Some(Slot::A), false, Trial::None)]
#[case::pending_stale(Slot::A, Trial::Pending(Slot::B), [OK, STALE], Some(Slot::A), false, Trial::None)]
#[case::pending_saves(Slot::A, Trial::Pending(Slot::B), [BAD, OK], Some(Slot::B), true, Trial::Running(Slot::B))]
#[case::pending_all_broken(Slot::A, Trial::Pending(Slot::B), [BAD, BAD], None, false, Trial::None)]
// The update was started and did not confirm itself.
#[case::unconfirmed(Slot::A, Trial::Running(Slot::B), [OK, OK], Some(Slot::A), false, Trial::None)]
#[case::unconfirmed_a(Slot::B, Trial::Running(Slot::A), [OK, OK], Some(Slot::B), false, Trial::None)]
#[case::unconfirmed_is_no_refuge(Slot::A, Trial::Running(Slot::B), [BAD, OK], None, false, Trial::None)]
fn decisions(
    #[case] active: Slot,
    #[case] trial: Trial,
    #[case] images: [Result<Version, Refusal>; 2],
    #[case] started: Option<Slot>,
    #[case] on_trial: bool,
    #[case] remembered: Trial,
) {
    let state = BootState {
        active,
        trial,
        floor: OLD,
    };
    let mut verified = None;
    let decision = decide(state, |slot| {
        verified = Some(slot);
        images[slot as usize]
    });
    assert_eq!(decision.start.map(|(slot, _)| slot), started);
    assert_eq!(
        (decision.on_trial, decision.state.trial),
        (on_trial, remembered)
    );
    assert_eq!((decision.state.active, decision.state.floor), (active, OLD));
    if started.is_some() {
        assert_eq!(
            verified, started,
            "the image in memory must be the one that is started"
        );
    }
}

#[rstest]
fn a_broken_active_image_is_not_started(#[values(0, 0x3C0, 1024, 1500)] byte: usize) {
    let nor = device();
    nor.flip(slot_base(Slot::A) as usize + byte, 3);
    assert_eq!(boot(&nor).unwrap().start, None);
}

#[test]
fn an_update_becomes_active_once_confirmed() {
    let nor = device();
    stage(&nor, Slot::B, &image(NEW, 500)).unwrap();
    let first = boot(&nor).unwrap();
    assert_eq!((first.start, first.on_trial), (Some((Slot::B, NEW)), true));
    confirm(&nor, Slot::B, NEW).unwrap();
    let second = boot(&nor).unwrap();
    assert_eq!(
        (second.start, second.on_trial),
        (Some((Slot::B, NEW)), false)
    );
    // The old image is good, but older than what ran: not even a broken update brings it back.
    nor.flip(slot_base(Slot::B) as usize + 1500, 0);
    assert_eq!(boot(&nor).unwrap().start, None);
}

#[test]
fn an_update_that_does_not_confirm_falls_back() {
    let nor = device();
    stage(&nor, Slot::B, &image(NEW, 500)).unwrap();
    assert_eq!(boot(&nor).unwrap().start, Some((Slot::B, NEW)));
    let fallback = boot(&nor).unwrap();
    assert_eq!(
        (fallback.start, fallback.failed_trial),
        (Some((Slot::A, OLD)), Some(Slot::B))
    );
    assert_eq!(boot(&nor).unwrap().failed_trial, None);
}

/// The whole life of an update: staged, started, confirmed, started again.
fn update(nor: &Nor) -> Result<(), PowerCut> {
    stage(nor, Slot::B, &image(NEW, 500))?;
    let decision = boot(nor)?;
    assert_eq!(decision.start, Some((Slot::B, NEW)));
    confirm(nor, Slot::B, NEW)?;
    assert_eq!(boot(nor)?.start, Some((Slot::B, NEW)));
    Ok(())
}

#[test]
fn a_power_cut_at_any_store_of_an_update_leaves_a_device_that_starts_and_can_be_updated() {
    let before = device();
    let stores = {
        let nor = before.copy();
        let start = nor.stores();
        update(&nor).unwrap();
        nor.stores() - start
    };
    assert!(
        stores > 500,
        "the update must have written something: {stores}"
    );
    let mut started = [0; 2];
    for n in 1..=stores {
        let nor = before.copy();
        nor.cut_at(n);
        assert_eq!(update(&nor), Err(PowerCut), "store {n} of {stores}");
        nor.power_on();
        let decision = boot(&nor).unwrap();
        let (slot, version) = decision
            .start
            .unwrap_or_else(|| panic!("bricked at store {n}"));
        assert!([OLD, NEW].contains(&version));
        started[slot as usize] += 1;
        confirm(&nor, slot, version).unwrap();
        if slot == Slot::A {
            update(&nor).unwrap();
        }
    }
    assert!(
        started[0] > 0 && started[1] > 0,
        "both outcomes must occur: {started:?}"
    );
}

#[test]
fn a_power_cut_at_any_store_of_the_journal_leaves_the_old_or_the_new_state() {
    // Long enough to fill both sectors more than once, so that every erase is cut as well.
    let states = |n: u16| BootState {
        active: if n.is_multiple_of(2) {
            Slot::A
        } else {
            Slot::B
        },
        trial: if n.is_multiple_of(3) {
            Trial::Pending(Slot::B)
        } else {
            Trial::None
        },
        floor: Version::new(1, 0, n),
    };
    let nor = Nor::blank(2 * SECTOR as usize);
    for n in 1..400 {
        let old = Journal::<_, BootState>::new(nor.clone(), 0).load().unwrap();
        let stores = {
            let copy = nor.copy();
            Journal::new(copy.clone(), 0).store(states(n)).unwrap();
            copy.stores()
        };
        for cut in 1..=stores {
            let copy = nor.copy();
            copy.cut_at(cut);
            assert_eq!(
                Journal::new(copy.clone(), 0).store(states(n)),
                Err(PowerCut)
            );
            copy.power_on();
            assert_eq!(
                Journal::new(copy.clone(), 0).load(),
                Ok(old),
                "state {n}, store {cut}"
            );
            Journal::new(copy.clone(), 0).store(states(n)).unwrap();
            assert_eq!(
                Journal::new(copy, 0).load(),
                Ok(states(n)),
                "state {n} after store {cut}"
            );
        }
        Journal::new(nor.clone(), 0).store(states(n)).unwrap();
        assert_eq!(Journal::new(nor.clone(), 0).load(), Ok(states(n)));
    }
}

#[rstest]
#[case::empty(0)]
#[case::only_a_header(HEADER_SIZE as u32)]
#[case::larger_than_the_slot(SLOT_SIZE + 4)]
#[case::not_in_words(2001)]
fn impossible_sizes_are_refused_before_anything_is_erased(#[case] size: u32) {
    let nor = device();
    let before = nor.stores();
    let result = Stager::begin(nor.clone(), slot_base(Slot::B), SLOT_SIZE, size);
    assert_eq!(
        result.err(),
        Some(image::StageError::Refused(Refusal::Length))
    );
    assert_eq!(nor.stores(), before);
}

#[rstest]
fn a_truncated_image_is_never_given_its_header(#[values(0, 4, 1020, 1024, 1028, 2000)] len: usize) {
    let nor = device();
    let image = image(NEW, 500);
    let mut stager = Stager::begin(
        nor.clone(),
        slot_base(Slot::B),
        SLOT_SIZE,
        image.len() as u32,
    )
    .unwrap();
    stager.write(&image[..len]).unwrap();
    assert!(stager.finish(|_| Ok(())).is_err());
    assert_eq!(verify(&nor, Slot::B), Err(Refusal::NoImage));
}
