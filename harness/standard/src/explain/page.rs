//! What an explanation consists of, before anybody lays it out.

use std::fmt::Display;

/// An explanation of one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What it is called: `5.3-10  Updates over a network are verified ...`.
    pub title: String,
    /// Its parts, in order; those without content are left out.
    pub sections: Vec<Section>,
}

/// A part of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Empty for what stands first, below the title.
    pub heading: &'static str,
    /// Its content.
    pub blocks: Vec<Block>,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// An entry of a list.
    Item(String),
    /// A name, and what there is to be said about it.
    Term(String, String),
}

impl Page {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            sections: Vec::new(),
        }
    }

    /// Adds a part, unless it is empty.
    pub(super) fn section(
        &mut self,
        heading: &'static str,
        blocks: impl IntoIterator<Item = Block>,
    ) {
        let blocks = blocks.into_iter().filter(|block| !block.is_empty());
        let blocks: Vec<Block> = blocks.collect();
        if !blocks.is_empty() {
            self.sections.push(Section { heading, blocks });
        }
    }
}

impl Block {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) | Self::Item(text) => text.is_empty(),
            Self::Term(..) => false,
        }
    }
}

pub(super) fn text(text: impl Display) -> Block {
    Block::Text(text.to_string())
}

pub(super) fn items<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<Block> {
    texts.into_iter().cloned().map(Block::Item).collect()
}

pub(super) fn term(name: impl Display, text: impl Display) -> Block {
    Block::Term(name.to_string(), text.to_string())
}

pub(super) fn note(text: Option<&String>) -> Option<Block> {
    text.cloned().map(Block::Text)
}

/// `a, b and c`.
pub(super) fn and(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
