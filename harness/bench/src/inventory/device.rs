//! A device of this bench: a DUT and how it is wired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use provebench_record::event::DeviceInfo;

use crate::{Capability, Provider};

use super::{Image, InventoryError, Segment, SwitchConfig, Target, Wiring, check, image};

/// One DUT of this bench.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name, unique on this bench.
    pub name: String,
    /// The product that it is one of.
    pub target: Arc<Target>,
    /// Words to choose devices by.
    pub tags: Vec<String>,
    /// The image set of the target that it is programmed with.
    pub images: String,
    /// What is printed on the product: serial number, password, ...
    pub label: BTreeMap<String, String>,
    /// What the product's driver needs to know of this device.
    pub options: BTreeMap<String, String>,
    /// Where its equipment comes from.
    pub provider: Arc<dyn Provider>,
}

impl Device {
    /// What the bench of this device can do; known without touching it.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        self.provider.capabilities(self.target.network.is_some())
    }

    /// The images that the device is programmed with or that test cases use on it, by name.
    pub fn image_set(&self) -> &BTreeMap<String, Image> {
        static NONE: BTreeMap<String, Image> = BTreeMap::new();
        // Which sets there are was checked when the inventory was read; only a target without any has not this one.
        self.target.images.get(&self.images).unwrap_or(&NONE)
    }

    /// Whether it is only there to be compared with: nothing is wired to it.
    pub fn is_label_only(&self) -> bool {
        self.provider.wiring() == Some(&Wiring::default())
    }

    /// An image of the device's set, by its name.
    pub fn image(&self, name: &str) -> Result<&Image, InventoryError> {
        let set = self.image_set();
        set.get(name).ok_or_else(|| {
            let what = format!(
                "image in set `{}` of target `{}`",
                self.images, self.target.name
            );
            check::unknown(&what, name, set.keys().map(String::as_str)).into()
        })
    }

    /// What switches its power and presses its buttons, as far as that is known without a lease.
    pub fn switches(&self) -> impl Iterator<Item = &SwitchConfig> {
        self.provider
            .wiring()
            .into_iter()
            .flat_map(Wiring::switches)
    }

    /// Whether all images of the device's set are there, are what they are said to be, and fit the chip.
    pub fn check_images(&self) -> Result<(), InventoryError> {
        image::check_all(self.image_set().values())
    }

    /// What of the images goes into the device, by image: checked as by [`check_images`](Self::check_images), and the very
    /// bytes that were checked. All that belong into the device unless some are given.
    pub fn firmware(
        &self,
        images: Option<&[&Image]>,
    ) -> Result<Vec<(String, Vec<Segment>)>, InventoryError> {
        match images {
            Some(images) => image::firmware(images),
            None => image::firmware(&self.flashed()),
        }
    }

    /// The images that belong into the device.
    pub fn flashed(&self) -> Vec<&Image> {
        let images = self.image_set().values();
        images.filter(|image| image.flash).collect()
    }
}

impl From<&Device> for DeviceInfo {
    fn from(device: &Device) -> Self {
        Self {
            name: device.name.clone(),
            target: device.target.name.clone(),
            model: device.target.model.clone(),
            images: device.images.clone(),
            digests: BTreeMap::new(),
            has_siblings: false,
        }
    }
}
