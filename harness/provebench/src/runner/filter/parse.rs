//! From text to an [`Expression`]. The language is nextest's, with predicates of our field:
//!
//! ```text
//! or    = and ( ("|" | "+" | "or") and )*
//! and   = unary ( ("&" | "and" | "-") unary )*        a - b is a & !b
//! unary = ("!" | "not") unary | "(" or ")" | NAME "(" ARGUMENT ")"
//! ```

use std::ops::Range;

use glob::Pattern;
use miette::Diagnostic as _;
use strum::VariantNames;
use winnow::{
    ModalResult, Parser,
    combinator::{Infix::Left, Prefix, alt, eof, expression, not, opt, preceded, terminated},
    error::{ErrMode, ParserError},
    stream::{LocatingSlice, Location, Stateful},
    token::{literal, one_of, take_until, take_while},
};

use super::error::ExpressionError;
use super::expression::{Expression, Had, Node, Of, Predicate};
use provebench_record::report::{EarlierError, Results};

/// How deep expressions nest. More is a mistake, and would be one for the stack.
const DEEPEST: usize = 64;

/// Names of predicates that take no argument.
const CONSTANTS: [&str; 2] = ["all", "none"];

impl Expression {
    /// Reads an expression. `load` gives the results of earlier runs that it names, each once.
    pub fn parse(
        text: &str,
        load: &mut dyn FnMut(&str) -> Result<Results, EarlierError>,
    ) -> Result<Self, ExpressionError> {
        let error = |Mistake { problem, at, help }| ExpressionError {
            problem,
            text: text.to_owned(),
            at: at.into(),
            help,
        };
        let mut input = Input {
            input: LocatingSlice::new(text),
            state: State::default(),
        };
        let root = whole(&mut input).map_err(|failed| match failed {
            ErrMode::Backtrack(mistake) | ErrMode::Cut(mistake) => error(mistake),
            ErrMode::Incomplete(_) => unreachable!("the text is there as a whole"),
        })?;
        let runs = input.state.runs.into_iter().map(|(name, at)| {
            load(name).map_err(|earlier| {
                let help = earlier.help().map(|help| help.to_string());
                error(Mistake::new(earlier.to_string(), at, help))
            })
        });
        Ok(Self {
            text: text.to_owned(),
            root,
            runs: runs.collect::<Result<_, _>>()?,
        })
    }
}

type Input<'a> = Stateful<LocatingSlice<&'a str>, State<'a>>;
type Parsed<T> = ModalResult<T, Mistake>;

#[derive(Debug, Default)]
struct State<'a> {
    depth: usize,
    /// The earlier runs that were named, and where first.
    runs: Vec<(&'a str, Range<usize>)>,
}

/// What is wrong, and where.
#[derive(Debug)]
struct Mistake {
    problem: String,
    at: Range<usize>,
    help: Option<String>,
}

impl Mistake {
    fn new(problem: impl Into<String>, at: Range<usize>, help: Option<String>) -> Self {
        Self {
            problem: problem.into(),
            at,
            help,
        }
    }

    /// One that no other way to read the text would mend.
    fn cut<T>(problem: impl Into<String>, at: Range<usize>, help: Option<String>) -> Parsed<T> {
        Err(ErrMode::Cut(Self::new(problem, at, help)))
    }
}

/// Where neither a predicate nor what may come before one is.
impl ParserError<Input<'_>> for Mistake {
    type Inner = Self;

    fn from_input(input: &Input<'_>) -> Self {
        let help = format!("predicates are {}", names().collect::<Vec<_>>().join(", "));
        Self::new("a predicate is missing", next(input), Some(help))
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

fn whole(input: &mut Input<'_>) -> Parsed<Node> {
    let root = or(input)?;
    space(input)?;
    if opt(eof).parse_next(input)?.is_some() {
        return Ok(root);
    }
    let help = "join with `&`, `|` or `-`, as in `tag(network) & !case(5.9-*)`";
    let problem = "an operator is missing, or this is one too many";
    Mistake::cut(problem, next(input), Some(help.into()))
}

fn or(input: &mut Input<'_>) -> Parsed<Node> {
    let or = alt((symbol("|"), symbol("+"), keyword("or")));
    let and = alt((symbol("&"), keyword("and")));
    let without = |_: &mut _, a: Node, b| Ok(a.and(Node::Not(Box::new(b))));
    expression(operand)
        .prefix(not_a.map(|()| {
            Prefix(3, |input: &mut Input<'_>, node| {
                input.state.depth -= 1;
                Ok(Node::Not(Box::new(node)))
            })
        }))
        .infix(alt((
            or.map(|_| Left(1, |_: &mut _, a: Node, b| Ok(a.or(b)))),
            and.map(|_| Left(2, |_: &mut _, a: Node, b| Ok(a.and(b)))),
            symbol("-").map(move |_| Left(2, without)),
        )))
        .parse_next(input)
}

fn not_a(input: &mut Input<'_>) -> Parsed<()> {
    alt((symbol("!"), keyword("not"))).parse_next(input)?;
    deeper(input)
}

fn operand(input: &mut Input<'_>) -> Parsed<Node> {
    let Some(open) = opt(symbol("(")).parse_next(input)? else {
        return predicate.map(Node::Is).parse_next(input);
    };
    deeper(input)?;
    let inner = or(input)?;
    input.state.depth -= 1;
    match opt(symbol(")")).parse_next(input)? {
        Some(_) => Ok(inner),
        None => Mistake::cut("this parenthesis is never closed", open, None),
    }
}

fn predicate(input: &mut Input<'_>) -> Parsed<Predicate> {
    preceded(space, not(keyword("not"))).parse_next(input)?;
    let (name, at) = word.with_span().parse_next(input)?;
    if !names().any(|known| known == name) {
        let near = names().find(|known| strsim::damerau_levenshtein(known, name) <= 2);
        let help = near.map(|near| format!("did you mean `{near}`?"));
        let help = help.or(Mistake::from_input(input).help);
        return Mistake::cut(format!("there is no predicate `{name}`"), at, help);
    }
    let Some(open) = opt(symbol("(")).parse_next(input)? else {
        let problem = format!("`{name}` needs its argument in parentheses");
        return Mistake::cut(problem, at, None);
    };
    let mut argument = opt(terminated(take_until(0.., ")").with_span(), literal(")")));
    let Some((raw, within)) = argument.parse_next(input)? else {
        return Mistake::cut("this parenthesis is never closed", open, None);
    };
    let argument = raw.trim();
    let start = within.start + raw.len() - raw.trim_start().len();
    let place = start..start + argument.len();
    if CONSTANTS.contains(&name) {
        if argument.is_empty() {
            return Ok(Predicate::Constant(name == "all"));
        }
        return Mistake::cut(format!("`{name}` takes no argument"), place, None);
    }
    if argument.is_empty() {
        let problem = format!("`{name}` needs an argument");
        return Mistake::cut(problem, at.start..within.end + 1, None);
    }
    if let Ok(had) = name.parse::<Had>() {
        let runs = &mut input.state.runs;
        let known = runs.iter().position(|(known, _)| *known == argument);
        let run = known.unwrap_or_else(|| {
            runs.push((argument, place));
            runs.len() - 1
        });
        return Ok(Predicate::Earlier { had, run });
    }
    let of = name.parse::<Of>().expect("one of the names above");
    match Pattern::new(argument) {
        Ok(pattern) => Ok(Predicate::Named {
            of,
            pattern,
            at: place.into(),
        }),
        Err(error) => {
            let help = "`*` stands for any text, `?` for one character, `[ab]` for one of these";
            let at = place.start + error.pos;
            Mistake::cut(error.msg, at..at + 1, Some(help.into()))
        }
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let names = Of::VARIANTS.iter().chain(Had::VARIANTS).chain(&CONSTANTS);
    names.copied()
}

/// Counts what nests, for [`State::depth`].
fn deeper(input: &mut Input<'_>) -> Parsed<()> {
    input.state.depth += 1;
    if input.state.depth <= DEEPEST {
        return Ok(());
    }
    Mistake::cut("it nests too deep", next(input), None)
}

fn space(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., char::is_whitespace)
        .void()
        .parse_next(input)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    (one_of(char::is_alphabetic), take_while(0.., is_of_word))
        .take()
        .parse_next(input)
}

/// Where it is.
fn symbol<'a>(symbol: &'static str) -> impl Parser<Input<'a>, Range<usize>, ErrMode<Mistake>> {
    preceded(space, literal(symbol).span())
}

/// Where it is, if it is a word and not the begin of one.
fn keyword<'a>(keyword: &'static str) -> impl Parser<Input<'a>, Range<usize>, ErrMode<Mistake>> {
    terminated(symbol(keyword), not(one_of(is_of_word)))
}

/// Where the word is that comes next, or the character.
fn next(input: &Input<'_>) -> Range<usize> {
    let text = input.input.as_ref();
    let length = match text.find(|c| !is_of_word(c)).unwrap_or(text.len()) {
        0 => text.chars().next().map_or(0, char::len_utf8),
        length => length,
    };
    let at = input.current_token_start();
    at..at + length
}
