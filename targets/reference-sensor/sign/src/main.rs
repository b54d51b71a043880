//! Makes a signed firmware image from a linked program.
//!
//! The manufacturer's real key would live in a signing service; this takes a key file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::Parser;
use ed25519_dalek::{Signer, SigningKey};
use image::{Header, Version, header::SIGNED_SIZE, manifest::Manifest};

/// Makes a signed firmware image from a program (raw binary, as objcopy writes it).
#[derive(Parser)]
struct Arguments {
    /// File with the signing key's seed: 64 hexadecimal digits; lines that begin with # are ignored.
    /// Without it, the place of the signature stays blank.
    #[arg(long)]
    key: Option<PathBuf>,
    /// Product that the image is for.
    #[arg(long, default_value = sensor::MODEL)]
    product: String,
    /// Version of the image: major.minor.patch.
    #[arg(long, value_parser = |text: &str| text.parse::<Version>().map_err(|_| "not major.minor.patch"))]
    version: Version,
    /// Address that the program is linked to.
    #[arg(long, default_value = "0x20000400", value_parser = address)]
    address: u32,
    /// Manifest to write as well: what the update server says of the image.
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// The program.
    program: PathBuf,
    /// The image to write.
    image: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let program =
        fs::read(&arguments.program).with_context(|| cannot("read", &arguments.program))?;
    let image = make(&arguments, program)?;
    if let Some(path) = &arguments.manifest {
        fs::write(path, manifest(&arguments, &image)?).with_context(|| cannot("write", path))?;
    }
    fs::write(&arguments.image, image).with_context(|| cannot("write", &arguments.image))
}

fn make(arguments: &Arguments, mut payload: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    ensure!(
        !payload.is_empty(),
        "{} is empty",
        arguments.program.display()
    );
    payload.resize(payload.len().next_multiple_of(4), 0);
    let room = sensor::memory::SLOT_SIZE as usize - image::HEADER_SIZE;
    ensure!(
        payload.len() <= room,
        "the program has {} bytes, a slot has room for {room}",
        payload.len()
    );
    let product = &arguments.product;
    ensure!(
        product.is_ascii() && product.len() <= 16,
        "product {product:?} is not ASCII of up to 16 characters"
    );

    let header = Header::describe(product, arguments.version, arguments.address, &payload);
    let mut image = header.to_signed_bytes().to_vec();
    debug_assert_eq!(image.len(), SIGNED_SIZE);
    let signature = match &arguments.key {
        Some(path) => read_key(path)?.sign(&image).to_bytes(),
        None => [0; 64],
    };
    image.extend(signature);
    image.extend(payload);
    Ok(image)
}

fn manifest(arguments: &Arguments, image: &[u8]) -> anyhow::Result<String> {
    let file = arguments.image.file_name().and_then(|name| name.to_str());
    let file = file.context("the image's name is not UTF-8")?;
    let text = Manifest {
        product: &arguments.product,
        version: arguments.version,
        // ci/firmware writes NAME.new and renames it when it is complete.
        file: file.trim_end_matches(".new"),
        size: u32::try_from(image.len())?,
    }
    .to_string();
    let signature = match &arguments.key {
        Some(path) => read_key(path)?.sign(text.as_bytes()).to_bytes(),
        None => [0; 64],
    };
    Ok(format!("{text}signature: {}\n", hex::encode(signature)))
}

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = fs::read_to_string(path).with_context(|| cannot("read", path))?;
    let digits: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::trim)
        .collect();
    let mut seed = [0; 32];
    hex::decode_to_slice(&digits, &mut seed)
        .with_context(|| format!("{}: expected 64 hexadecimal digits", path.display()))?;
    Ok(SigningKey::from_bytes(&seed))
}

fn address(text: &str) -> Result<u32, String> {
    let digits = text
        .strip_prefix("0x")
        .ok_or("expected 0x and hexadecimal digits")?;
    u32::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}
