//! From text to an [`Expression`]. The language is nextest's, with predicates of our field:
//!
//! ```text
//! or    = and ( ("|" | "+" | "or") and )*
//! and   = unary ( ("&" | "and" | "-") unary )*        a - b is a & !b
//! unary = ("!" | "not") unary | "(" or ")" | NAME "(" ARGUMENT ")"
//! ```

use glob::Pattern;
use miette::{Diagnostic, SourceSpan};
use thiserror::Error;

use super::expression::{Expression, Had, Node, Of, Predicate};
use provebench_record::report::{EarlierError, Results};

/// An expression that can't be read, or that means nothing here.
#[derive(Debug, Error, Diagnostic)]
#[error("the filter can't be used: {problem}")]
#[diagnostic(code(filter))]
pub struct ExpressionError {
    pub(super) problem: String,
    #[source_code]
    pub(super) text: String,
    #[label("here")]
    pub(super) at: SourceSpan,
    #[help]
    pub(super) help: Option<String>,
}

/// How deep expressions nest. More is a mistake, and would be one for the stack.
const DEEPEST: usize = 64;

const NAMES: [&str; 15] = [
    "case",
    "unit",
    "group",
    "clause",
    "tag",
    "device",
    "target",
    "affected",
    "passed",
    "failed",
    "errored",
    "inconclusive",
    "skipped",
    "all",
    "none",
];

/// Reads the results of the run that a user calls by that name.
type Load<'a> = &'a mut dyn FnMut(&str) -> Result<Results, EarlierError>;

impl Expression {
    /// Reads an expression. `load` gives the results of earlier runs that it names.
    pub fn parse(text: &str, load: Load<'_>) -> Result<Self, ExpressionError> {
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
            load,
            runs: Vec::new(),
        };
        let root = parser.or()?;
        if !parser.rest().is_empty() {
            let found = parser.word_length();
            return Err(parser.error(
                parser.at,
                found,
                "an operator is missing, or this is one too many",
                Some("join with `&`, `|` or `-`, as in `tag(network) & !case(5.9-*)`".into()),
            ));
        }
        let runs = parser.runs.into_iter().map(|(_, run)| run).collect();
        Ok(Self {
            text: text.to_owned(),
            root,
            runs,
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Byte offset of what comes next.
    at: usize,
    depth: usize,
    load: Load<'a>,
    runs: Vec<(String, Results)>,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Result<Node, ExpressionError> {
        let mut left = self.and()?;
        while self.take("|") || self.take("+") || self.take_word("or") {
            left = Node::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Node, ExpressionError> {
        let mut left = self.unary()?;
        loop {
            if self.take("&") || self.take_word("and") {
                left = Node::And(Box::new(left), Box::new(self.unary()?));
            } else if self.take("-") {
                let right = Node::Not(Box::new(self.unary()?));
                left = Node::And(Box::new(left), Box::new(right));
            } else {
                return Ok(left);
            }
        }
    }

    fn unary(&mut self) -> Result<Node, ExpressionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(self.at, 1, "it nests too deep", None));
        }
        let node = if self.take("!") || self.take_word("not") {
            Node::Not(Box::new(self.unary()?))
        } else if let Some(open) = self.take_at("(") {
            let inner = self.or()?;
            if !self.take(")") {
                return Err(self.error(open, 1, "this parenthesis is never closed", None));
            }
            inner
        } else {
            self.predicate()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn predicate(&mut self) -> Result<Node, ExpressionError> {
        let start = self.skip_space();
        let length = self.word_length();
        let name = &self.text[start..start + length];
        if !name.starts_with(|c: char| c.is_alphabetic()) {
            let problem = "a predicate is missing";
            return Err(self.error(start, length, problem, Some(all_names())));
        }
        if !NAMES.contains(&name) {
            let near = NAMES
                .iter()
                .find(|n| strsim::damerau_levenshtein(n, name) <= 2);
            let help = near.map_or_else(all_names, |near| format!("did you mean `{near}`?"));
            let problem = format!("there is no predicate `{name}`");
            return Err(self.error(start, length, &problem, Some(help)));
        }
        self.at = start + length;
        let Some(open) = self.take_at("(") else {
            let problem = format!("`{name}` needs its argument in parentheses");
            return Err(self.error(start, length, &problem, None));
        };
        let Some(end) = self.text[self.at..].find(')') else {
            return Err(self.error(open, 1, "this parenthesis is never closed", None));
        };
        let raw = &self.text[self.at..self.at + end];
        let argument = raw.trim();
        let place = self.at + raw.len() - raw.trim_start().len();
        self.at += end + 1;
        let whole = (start, self.at - start);
        if matches!(name, "all" | "none") {
            if !argument.is_empty() {
                let problem = format!("`{name}` takes no argument");
                return Err(self.error(place, argument.len(), &problem, None));
            }
            return Ok(Node::Is(Predicate::Constant(name == "all")));
        }
        if argument.is_empty() {
            let problem = format!("`{name}` needs an argument");
            return Err(self.error(whole.0, whole.1, &problem, None));
        }
        self.with_argument(name, argument, place).map(Node::Is)
    }

    fn with_argument(
        &mut self,
        name: &str,
        argument: &'a str,
        place: usize,
    ) -> Result<Predicate, ExpressionError> {
        let of = match name {
            "case" => Of::Case,
            "unit" => Of::Unit,
            "group" => Of::Group,
            "clause" => Of::Clause,
            "tag" => Of::Tag,
            "device" => Of::Device,
            "target" => Of::Target,
            "affected" => Of::Component,
            _ => {
                let had = match name {
                    "passed" => Had::Passed,
                    "failed" => Had::Failed,
                    "errored" => Had::Errored,
                    "inconclusive" => Had::Inconclusive,
                    _ => Had::BeenSkipped,
                };
                let run = self.run(argument, place)?;
                return Ok(Predicate::Earlier { had, run });
            }
        };
        let pattern = Pattern::new(argument).map_err(|e| {
            let help = "`*` stands for any text, `?` for one character, `[ab]` for one of these";
            self.error(place + e.pos, 1, e.msg, Some(help.into()))
        })?;
        Ok(Predicate::Named {
            of,
            pattern,
            at: (place, argument.len()).into(),
        })
    }

    /// Each run is read once.
    fn run(&mut self, name: &str, place: usize) -> Result<usize, ExpressionError> {
        if let Some(known) = self.runs.iter().position(|(known, _)| known == name) {
            return Ok(known);
        }
        let loaded = (self.load)(name);
        let run = loaded.map_err(|error| {
            let help = error.help().map(|help| help.to_string());
            self.error(place, name.len(), &error.to_string(), help)
        })?;
        self.runs.push((name.to_owned(), run));
        Ok(self.runs.len() - 1)
    }

    fn skip_space(&mut self) -> usize {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.at
    }

    fn rest(&mut self) -> &'a str {
        let at = self.skip_space();
        &self.text[at..]
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.take_at(symbol).is_some()
    }

    fn take_at(&mut self, symbol: &str) -> Option<usize> {
        let rest = self.rest();
        let at = self.at;
        rest.starts_with(symbol).then(|| {
            self.at += symbol.len();
            at
        })
    }

    fn take_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let is_it = rest.starts_with(word) && self.word_length() == word.len();
        if is_it {
            self.at += word.len();
        }
        is_it
    }

    /// Length of the word that comes next; of whatever else is there, one character.
    fn word_length(&mut self) -> usize {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        match end.unwrap_or(rest.len()) {
            0 => rest.chars().next().map_or(0, char::len_utf8),
            length => length,
        }
    }

    fn error(
        &self,
        at: usize,
        length: usize,
        problem: &str,
        help: Option<String>,
    ) -> ExpressionError {
        ExpressionError {
            problem: problem.to_owned(),
            text: self.text.to_owned(),
            at: (at, length).into(),
            help,
        }
    }
}

fn all_names() -> String {
    format!("predicates are {}", NAMES.join(", "))
}
