//! Values that nobody could have guessed: canaries and random bytes.

use rand::RngCore;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;

use super::blob::Blob;
use super::session;
use crate::show;
use crate::stop::Stop;

/// Longer canaries fit nowhere.
const LONGEST_CANARY: usize = 4096;
/// More random bytes than this are no test data.
const MOST_RANDOM: usize = 16 << 20;
/// Random bytes that are written into the step itself.
const INLINE: usize = 32;

/// Functions of `t` and `d`.
#[starlark_module]
pub(super) fn random_methods(builder: &mut MethodsBuilder) {
    /// Fresh random letters and digits.
    fn canary<'v>(
        #[starlark(this)] _this: Value<'v>,
        what: &str,
        #[starlark(default = 16)] length: usize,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<String> {
        let session = session(eval)?;
        session.step(
            "canary",
            json!({ "what": what, "length": length }),
            |note| {
                if !(1..=LONGEST_CANARY).contains(&length) {
                    let message = format!("a canary of {length} characters: 1 to {LONGEST_CANARY}");
                    return Err(Stop::Script(message));
                }
                let text = Alphanumeric.sample_string(&mut *session.random(), length);
                note.result = text.clone().into();
                Ok(text)
            },
        )
    }

    /// n random bytes.
    fn random<'v>(
        #[starlark(this)] _this: Value<'v>,
        n: usize,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Blob> {
        let session = session(eval)?;
        session.step("random", json!({ "n": n }), |note| {
            if n > MOST_RANDOM {
                let message = format!("{n} random bytes: at most {MOST_RANDOM}");
                return Err(Stop::Script(message));
            }
            let mut bytes = vec![0; n];
            session.random().fill_bytes(&mut bytes);
            note.result = show::bytes(&bytes).into();
            if n > INLINE {
                note.artefacts.push(session.keep("random.bin", &bytes)?);
            }
            Ok(Blob::new(bytes))
        })
    }
}
