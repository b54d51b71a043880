//! `blob`: immutable bytes, with what a test of firmware does to them.

use std::fmt;
use std::hash::Hash;

use allocative::Allocative;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD as BASE64_NO_PAD};
use sha2::{Digest, Sha256};
use starlark::any::ProvidesStaticType;
use starlark::collections::StarlarkHasher;
use starlark::environment::{GlobalsBuilder, Methods, MethodsBuilder};
use starlark::values::list::{AllocList, UnpackList};
use starlark::values::none::NoneOr;
use starlark::values::structs::AllocStruct;
use starlark::values::type_repr::StarlarkTypeRepr;
use starlark::values::{
    Heap, NoSerialize, StarlarkPagable, StarlarkValue, UnpackValue, Value, ValueError, ValueLike,
    starlark_value,
};
use starlark::{starlark_module, starlark_simple_value};

use crate::{noise, plain, private_keys};
use provebench_network::search::{Needle, search};

/// The largest blob that a script may make: as large as the memories of the parts we test.
const LIMIT: usize = 256 << 20;

/// Immutable bytes.
#[derive(
    Debug, Clone, PartialEq, Eq, ProvidesStaticType, NoSerialize, StarlarkPagable, Allocative,
)]
pub(crate) struct Blob {
    bytes: Vec<u8>,
}
starlark_simple_value!(Blob);
starlark::methods_static!(BLOB_METHODS = blob_methods);

impl Blob {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The range of `len` bytes at `offset`, or what is wrong with it.
    fn range(&self, offset: u64, len: u64) -> anyhow::Result<std::ops::Range<usize>> {
        let end = offset.checked_add(len);
        match (usize::try_from(offset), end.map(usize::try_from)) {
            (Ok(start), Some(Ok(end))) if end <= self.bytes.len() => Ok(start..end),
            _ => Err(anyhow::anyhow!(
                "{len} bytes at offset {offset} are outside of a blob of {} bytes",
                self.bytes.len()
            )),
        }
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain::bytes(&self.bytes))
    }
}

/// What scripts may pass where bytes are wanted: a blob or a string (its UTF-8).
///
/// Starlark's own `bytes` are not for scripts: they have none of a blob's functions, and are
/// never equal to one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data<'v>(pub(crate) &'v [u8]);

impl<'v> Data<'v> {
    /// The bytes of a blob, but not of a string.
    pub(crate) fn from_blob(value: Value<'v>) -> Option<&'v [u8]> {
        let blob = value.downcast_ref::<Blob>()?;
        Some(&blob.bytes)
    }
}

impl StarlarkTypeRepr for Data<'_> {
    type Canonical = Self;

    fn starlark_type_repr() -> starlark::typing::Ty {
        starlark::typing::Ty::unions(vec![
            Blob::starlark_type_repr(),
            String::starlark_type_repr(),
        ])
    }
}

impl<'v> UnpackValue<'v> for Data<'v> {
    type Error = std::convert::Infallible;

    fn unpack_value_impl(value: Value<'v>) -> Result<Option<Self>, Self::Error> {
        Ok(Self::from_blob(value)
            .or_else(|| value.unpack_str().map(str::as_bytes))
            .map(Data))
    }
}

#[starlark_value(type = "blob")]
impl<'v> StarlarkValue<'v> for Blob {
    fn get_methods() -> Option<&'static Methods> {
        Some(BLOB_METHODS.methods())
    }

    fn to_bool(&self) -> bool {
        !self.bytes.is_empty()
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        self.bytes.hash(hasher);
        Ok(())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(Data::from_blob(other).is_some_and(|other| other == self.bytes))
    }

    fn length(&self) -> starlark::Result<i32> {
        i32::try_from(self.bytes.len()).map_err(starlark::Error::new_other)
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let len = i64::try_from(self.bytes.len()).unwrap_or(i64::MAX);
        let index = i64::unpack_value_err(index)?;
        let from_start = if index < 0 { index + len } else { index };
        usize::try_from(from_start)
            .ok()
            .and_then(|i| self.bytes.get(i))
            .map(|byte| heap.alloc(i32::from(*byte)))
            .ok_or_else(|| {
                ValueError::IndexOutOfBound(i32::try_from(index).unwrap_or(i32::MAX)).into()
            })
    }

    fn slice(
        &self,
        start: Option<Value<'v>>,
        stop: Option<Value<'v>>,
        stride: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        if stride.is_some_and(|s| !s.is_none() && s.unpack_i32() != Some(1)) {
            return Err(starlark::Error::new_value(anyhow::anyhow!(
                "a blob is sliced in steps of 1 only"
            )));
        }
        let len = i64::try_from(self.bytes.len()).unwrap_or(i64::MAX);
        let bound = |value: Option<Value<'v>>, default: i64| -> starlark::Result<usize> {
            let at = match value.filter(|v| !v.is_none()) {
                Some(v) => i64::unpack_value_err(v)?,
                None => default,
            };
            let at = if at < 0 { at + len } else { at };
            Ok(usize::try_from(at.clamp(0, len)).unwrap_or(0))
        };
        let (start, stop) = (bound(start, 0)?, bound(stop, len)?);
        let slice = self.bytes.get(start..stop).unwrap_or_default();
        Ok(heap.alloc(Blob::new(slice.to_vec())))
    }

    fn is_in(&self, other: Value<'v>) -> starlark::Result<bool> {
        let needle = Data::unpack_value_err(other)?;
        Ok(memchr::memmem::find(&self.bytes, needle.0).is_some())
    }

    fn add(&self, other: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let other = Data::from_blob(other)?;
        Some(
            checked_length(self.bytes.len() + other.len())
                .map(|_| heap.alloc(Blob::new([&self.bytes, other].concat())))
                .map_err(starlark::Error::new_value),
        )
    }
}

#[starlark_module]
fn blob_methods(builder: &mut MethodsBuilder) {
    /// The bytes with one bit inverted. Bit 0 is the lowest of the first byte.
    fn flip(this: &Blob, bit_index: u64) -> anyhow::Result<Blob> {
        let at = this.range(bit_index / 8, 1)?.start;
        let mut bytes = this.bytes.clone();
        bytes[at] ^= 1 << (bit_index % 8);
        Ok(Blob::new(bytes))
    }

    /// The first `n` bytes.
    fn truncate(this: &Blob, n: u64) -> anyhow::Result<Blob> {
        Ok(Blob::new(this.bytes[this.range(0, n)?].to_vec()))
    }

    /// The bytes from offset `a` up to, but without, offset `z`.
    fn slice(this: &Blob, a: u64, z: u64) -> anyhow::Result<Blob> {
        let len = z
            .checked_sub(a)
            .ok_or_else(|| anyhow::anyhow!("a slice from {a} to {z} runs backwards"))?;
        Ok(Blob::new(this.bytes[this.range(a, len)?].to_vec()))
    }

    /// The bytes with those at `offset` overwritten.
    fn replace(this: &Blob, offset: u64, data: Data<'_>) -> anyhow::Result<Blob> {
        let range = this.range(offset, data.0.len() as u64)?;
        let mut bytes = this.bytes.clone();
        bytes[range].copy_from_slice(data.0);
        Ok(Blob::new(bytes))
    }

    /// Lower-case hex.
    fn hex(this: &Blob) -> anyhow::Result<String> {
        Ok(hex::encode(&this.bytes))
    }

    /// UTF-8 text; what is none becomes U+FFFD.
    fn text(this: &Blob) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&this.bytes).into_owned())
    }

    /// What it says as JSON (RFC 8259), None if it is none. Depth is limited.
    fn json<'v>(this: &Blob, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        let parsed: Option<serde_json::Value> = serde_json::from_slice(&this.bytes).ok();
        Ok(heap.alloc(NoneOr::from_option(parsed)))
    }

    /// Base64 with padding.
    fn base64(this: &Blob) -> anyhow::Result<String> {
        Ok(BASE64.encode(&this.bytes))
    }

    /// SHA-256 as hex.
    fn sha256(this: &Blob) -> anyhow::Result<String> {
        Ok(hex::encode(Sha256::digest(&this.bytes)))
    }

    /// Offset of the first occurrence, -1 when there is none.
    fn find(this: &Blob, needle: Data<'_>) -> anyhow::Result<i64> {
        Ok(memchr::memmem::find(&this.bytes, needle.0)
            .and_then(|at| i64::try_from(at).ok())
            .unwrap_or(-1))
    }

    /// Where texts or bytes are in it, in every form they may have been written in: list of struct(needle, encoding,
    /// offset), of each needle and encoding the first place.
    fn search<'v>(
        this: &Blob,
        needles: UnpackList<Data<'v>>,
        heap: Heap<'v>,
    ) -> anyhow::Result<Value<'v>> {
        let needles: Vec<Needle> = needles
            .items
            .iter()
            .enumerate()
            .map(|(index, data)| Needle {
                name: index.to_string(),
                bytes: data.0.to_vec(),
            })
            .collect();
        let name = |index: &str| -> String {
            let needle = index.parse().ok().and_then(|n: usize| needles.get(n));
            let bytes = needle.map_or(&[][..], |needle| &needle.bytes);
            str::from_utf8(bytes).map_or_else(|_| hex::encode(bytes), str::to_owned)
        };
        let hits = search(&this.bytes, &needles);
        let hits = hits.iter().map(|(needle, encoding, offset)| {
            AllocStruct([
                ("needle", heap.alloc(name(needle))),
                ("encoding", heap.alloc(encoding.name())),
                ("offset", heap.alloc(*offset)),
            ])
        });
        Ok(heap.alloc(AllocList(hits)))
    }

    /// How many guesses a password takes for someone who begins with common passwords, names, words, dates, runs of keys
    /// and what is `known`, and with what people make of them; no more than 64 bits tell.
    fn guesses(
        this: &Blob,
        #[starlark(default = UnpackList::default())] known: UnpackList<String>,
    ) -> anyhow::Result<u64> {
        let text = String::from_utf8_lossy(&this.bytes);
        let known: Vec<&str> = known.items.iter().map(String::as_str).collect();
        Ok(zxcvbn::zxcvbn(&text, &known).guesses())
    }

    /// The little-endian 32-bit word at `offset`.
    fn u32(this: &Blob, offset: u64) -> anyhow::Result<u32> {
        let range = this.range(offset, 4)?;
        let word = this.bytes[range].iter().rev();
        Ok(word.fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }

    /// Private keys in it, in PEM and DER: list of struct(what, offset, encrypted).
    fn private_keys<'v>(this: &Blob, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        let keys = private_keys::find(&this.bytes).into_iter().map(|key| {
            AllocStruct([
                ("what", heap.alloc(key.what)),
                ("offset", heap.alloc(key.offset)),
                ("encrypted", heap.alloc(key.is_encrypted)),
            ])
        });
        Ok(heap.alloc(AllocList(keys)))
    }

    /// Percent of it that are compressed or encrypted, None if it is too short or only fill.
    fn noise(this: &Blob) -> anyhow::Result<NoneOr<usize>> {
        Ok(NoneOr::from_option(noise::percent(&this.bytes)))
    }

    /// CRC-32 (ISO-HDLC, as in zip and Ethernet).
    fn crc32(this: &Blob) -> anyhow::Result<u32> {
        Ok(crc32fast::hash(&this.bytes))
    }
}

/// Constructors of blobs.
#[starlark_module]
pub(crate) fn blob_globals(builder: &mut GlobalsBuilder) {
    /// A blob of a string's UTF-8.
    fn blob(#[starlark(require = pos)] text: Data<'_>) -> anyhow::Result<Blob> {
        Ok(Blob::new(text.0.to_vec()))
    }

    /// A blob of hex digits; white space between bytes is allowed.
    fn blob_hex(#[starlark(require = pos)] digits: &str) -> anyhow::Result<Blob> {
        let digits: String = digits.split_whitespace().collect();
        hex::decode(&digits)
            .map(Blob::new)
            .map_err(|error| anyhow::anyhow!("blob_hex({}): {error}", plain::text(&digits)))
    }

    /// The bytes that Base64 stands for, of either alphabet, with or without padding.
    fn blob_base64(#[starlark(require = pos)] text: &str) -> anyhow::Result<Blob> {
        let plain: String = text
            .trim_end_matches('=')
            .chars()
            .map(|letter| match letter {
                '-' => '+',
                '_' => '/',
                letter => letter,
            })
            .collect();
        BASE64_NO_PAD
            .decode(plain)
            .map(Blob::new)
            .map_err(|error| anyhow::anyhow!("blob_base64({}): {error}", plain::text(text)))
    }

    /// The four bytes of a 32-bit word, little-endian.
    fn blob_u32(#[starlark(require = pos)] word: u32) -> anyhow::Result<Blob> {
        Ok(Blob::new(word.to_le_bytes().to_vec()))
    }

    /// A number as `0x` and hex digits: addresses are read so.
    fn hex(#[starlark(require = pos)] number: u64) -> anyhow::Result<String> {
        Ok(format!("{number:#x}"))
    }

    /// `n` times the same byte.
    fn blob_fill(
        #[starlark(require = pos)] byte: i32,
        #[starlark(require = pos)] n: usize,
    ) -> anyhow::Result<Blob> {
        let byte =
            u8::try_from(byte).map_err(|_| anyhow::anyhow!("{byte} is not a byte (0 to 255)"))?;
        Ok(Blob::new(vec![byte; checked_length(n)?]))
    }
}

/// `len`, when a blob may be that long.
pub(crate) fn checked_length(len: usize) -> anyhow::Result<usize> {
    anyhow::ensure!(
        len <= LIMIT,
        "a blob of {len} bytes is too large (at most {LIMIT})"
    );
    Ok(len)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use starlark::environment::Module;
    use starlark::eval::Evaluator;
    use starlark::syntax::{AstModule, Dialect};
    use starlark::values::Value;

    use crate::module::globals;

    fn evaluate(expression: &str) -> Result<String, String> {
        let ast = AstModule::parse("test", expression.to_owned(), &Dialect::Standard);
        let ast = ast.expect("an expression");
        Module::with_temp_heap(|module| {
            let mut eval = Evaluator::new(&module);
            let value = eval.eval_module(ast, &globals());
            value.map(Value::to_repr).map_err(|e| e.to_string())
        })
    }

    #[rstest]
    #[case(r#"len(blob("abc"))"#, "3")]
    #[case(r#"blob('{"a": [1, null]}').json()"#, r#"{"a": [1, None]}"#)]
    #[case(r#"blob('{"a": [1').json()"#, "None")]
    #[case(r#"(blob("[") + blob_fill(91, 100000)).json()"#, "None")]
    #[case(r#"blob("ab") + blob("c") == blob("abc")"#, "True")]
    #[case(r#"blob("ab") != blob("abc")"#, "True")]
    #[case(r#"blob("ab") == "ab""#, "False")]
    #[case(r#"blob("abc")[-1]"#, "99")]
    #[case(r#"blob("abc")[1:].text()"#, "\"bc\"")]
    #[case(r#"blob("abc")[:-1].text()"#, "\"ab\"")]
    #[case(r#"blob("abc")[2:1].text()"#, "\"\"")]
    #[case(r#""bc" in blob("abc")"#, "True")]
    #[case(r#"blob("abc").flip(0).text()"#, "\"`bc\"")]
    #[case(r#"blob_hex("00 01").flip(15).hex()"#, "\"0081\"")]
    #[case(r#"blob("abc").truncate(1).text()"#, "\"a\"")]
    #[case(r#"blob("abc").slice(1, 2).text()"#, "\"b\"")]
    #[case(r#"blob("abc").replace(1, "xy").text()"#, "\"axy\"")]
    #[case(r#"blob("abc").base64()"#, "\"YWJj\"")]
    #[case(r#"blob("abc").find("c")"#, "2")]
    #[case(r#"blob("abc").find("d")"#, "-1")]
    #[case(
        r#"blob("x=%61bcd%65").search(["abcde", "zzzz"])"#,
        r#"[struct(needle="abcde", encoding="escaped", offset=2)]"#
    )]
    #[case(r#"blob("abcdef").search([])"#, "[]")]
    #[case(r#"blob("").guesses() < 2"#, "True")]
    #[case(
        r#"[blob(p).guesses() < 1000 for p in ["admin", "P@ssw0rd", "12345678", "qwertyuiop"]]"#,
        "[True, True, True, True]"
    )]
    #[case(
        r#"blob("zorqwex1").guesses(["zorqwex"]) < blob("zorqwex1").guesses()"#,
        "True"
    )]
    #[case(r#"blob("kD4fRw9nQ1xz").guesses() > 1000000000"#, "True")]
    #[case(
        r#"[blob_base64(b).hex() for b in ["+/8=", "-_8"]]"#,
        r#"["fbff", "fbff"]"#
    )]
    #[case("blob_u32(0x01020304).hex()", "\"04030201\"")]
    #[case("blob_u32(0xFFFFFFFF).u32(0)", "4294967295")]
    #[case(r#"blob("123456789").crc32()"#, "3421780262")]
    #[case(
        r#"blob("abc").sha256()"#,
        "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
    )]
    #[case(r#"blob("-----BEGIN PRIVATE KEY-----").private_keys()"#, "[]")]
    #[case(
        r#"blob("-----BEGIN DSA PRIVATE KEY-----MCQCAQACAQUCAQUCAQUCAQUCAQUEEAABAgMEBQYHCAkKCwwNDg8=-----END ").private_keys()"#,
        r#"[struct(what="private key in PEM", offset=0, encrypted=False)]"#
    )]
    #[case(r#"blob("abc").noise()"#, "None")]
    #[case(r#"blob("abcdefgh" * 1000).noise()"#, "0")]
    #[case("blob_fill(0xFF, 3).hex()", "\"ffffff\"")]
    #[case("hex(0x21204000)", "\"0x21204000\"")]
    #[case("hex(0)", "\"0x0\"")]
    #[case(r#"blob_hex("ff").text()"#, "\"\\ufffd\"")]
    #[case(r#"{blob("a"): 1}[blob("a")]"#, "1")]
    #[case(r#"[bool(b) for b in [blob(""), blob("x")]]"#, "[False, True]")]
    #[case(
        "blob_fill(0, 100)",
        "blob(100 bytes, 0000000000000000..., sha256 cd00e292c5970d3c...)"
    )]
    fn does_what_the_reference_says(#[case] expression: &str, #[case] expected: &str) {
        assert_eq!(
            evaluate(expression).as_deref(),
            Ok(expected),
            "{expression}"
        );
    }

    #[rstest]
    #[case(r#"blob("abc")[3]"#, "out of bound")]
    #[case(r#"blob("abc").flip(24)"#, "outside of a blob of 3 bytes")]
    #[case(r#"blob("abc").slice(2, 1)"#, "backwards")]
    #[case(r#"blob("abc").slice(2, 4)"#, "outside of a blob of 3 bytes")]
    #[case(r#"blob("abc").replace(2, "xy")"#, "outside of a blob of 3 bytes")]
    #[case(r#"blob("abc").truncate(4)"#, "outside of a blob of 3 bytes")]
    #[case(r#"blob("abc").u32(0)"#, "outside of a blob of 3 bytes")]
    #[case(
        r#"blob("abc").u32(18446744073709551615)"#,
        "outside of a blob of 3 bytes"
    )]
    #[case(r#"blob("abc").truncate(-1)"#, "-1")]
    #[case(r#"blob("abc") + "d""#, "not supported")]
    #[case(r#"blob_hex("0g")"#, "blob_hex")]
    #[case(r#"blob_base64("a!")"#, "blob_base64")]
    #[case("blob_fill(256, 1)", "256 is not a byte")]
    #[case("blob_fill(0, 999999999999)", "too large")]
    #[case("blob_u32(4294967296)", "4294967296")]
    #[case("blob(1)", "blob")]
    fn misuse_is_told(#[case] expression: &str, #[case] expected: &str) {
        let error = evaluate(expression).expect_err("misuse");
        assert!(error.contains(expected), "{error}");
    }
}
