//! What can be found wrong with a file without running it.

use starlark::codemap::{CodeMap, FileSpan, Pos, Span};
use starlark::syntax::ast::{
    Argument, AstArgument, AstExpr, AstLiteral, AstStmt, AstString, Expr, Parameter, Stmt,
};
use starlark::syntax::{AstModule, Dialect};
use starlark_syntax::lexer::{Lexer, Token};

use super::api::names::{self, Members, Names, Signature};
use super::error::Problem;
use super::reads::statements;

/// What a file defines at its top level.
#[derive(Debug)]
pub(super) struct Outline {
    /// The file.
    pub(super) map: CodeMap,
    /// Its docstring.
    pub(super) doc: Option<String>,
    /// Its functions, in order.
    pub(super) functions: Vec<Function>,
}

/// A function at the top level of a file.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) at: FileSpan,
    pub(super) doc: Option<String>,
    /// Names of parameters that have to be given.
    pub(super) required: Vec<String>,
    /// Parameters that may be given.
    pub(super) optional: usize,
    /// `*args` or `**kwargs` takes any number of further ones.
    pub(super) open: bool,
}

impl Function {
    /// Whether it can be called with that many positional arguments.
    pub(super) fn takes(&self, arguments: usize) -> bool {
        self.required.len() <= arguments
            && (self.open || arguments <= self.required.len() + self.optional)
    }
}

/// Levels that statements and expressions may be nested: enough for what is written by hand or by a generator. What a
/// script became is taken apart on threads with a usual stack.
const LEVELS: usize = 5000;

/// Whether so few brackets and signs are open at once that the parser, which remembers each of them, takes little memory.
pub(super) fn is_shallow(name: &str, content: &str, problems: &mut Vec<Problem>) -> bool {
    let map = CodeMap::new(name.to_owned(), content.to_owned());
    let (mut brackets, mut signs) = (0usize, 0usize);
    for lexeme in Lexer::new(content, &Dialect::Extended, map.clone()) {
        // What can't be read the parser tells better.
        let Ok((begin, token, _)) = lexeme else { break };
        match token {
            Token::OpeningRound | Token::OpeningSquare | Token::OpeningCurly => brackets += 1,
            Token::ClosingRound | Token::ClosingSquare | Token::ClosingCurly => {
                brackets = brackets.saturating_sub(1);
            }
            Token::Minus | Token::Plus | Token::Tilde | Token::Not | Token::Lambda => signs += 1,
            Token::Newline | Token::Comma | Token::Semicolon => signs = 0,
            _ => {}
        }
        if brackets + signs > LEVELS {
            let begin = Pos::new(u32::try_from(begin).unwrap_or_default());
            problems.push(nested(&map, Span::new(begin, begin)));
            return false;
        }
    }
    true
}

fn nested(map: &CodeMap, span: Span) -> Problem {
    let message = format!("nested more than {LEVELS} levels deep");
    Problem::at(map, span, message)
        .with_help("use a dict instead of many elif, and a list with a loop instead of long chains")
}

/// Whether a file is nested so little that it can be looked at, compiled and run.
pub(super) fn is_flat(ast: &AstModule, problems: &mut Vec<Problem>) -> bool {
    let mut too_deep = None;
    statement_depth(ast.statement(), 0, &mut too_deep);
    ast.statement()
        .visit_expr(|expr| expression_depth(expr, 0, &mut too_deep));
    if let Some(span) = too_deep {
        problems.push(nested(&ast.file_span(span).file, span));
    }
    too_deep.is_none()
}

fn statement_depth(stmt: &AstStmt, level: usize, too_deep: &mut Option<Span>) {
    if level > LEVELS {
        too_deep.get_or_insert(start_of(stmt.span));
    } else {
        stmt.visit_stmt(|inner| statement_depth(inner, level + 1, too_deep));
    }
}

fn expression_depth(expr: &AstExpr, level: usize, too_deep: &mut Option<Span>) {
    if level > LEVELS {
        too_deep.get_or_insert(start_of(expr.span));
    } else {
        expr.visit_expr(|inner| expression_depth(inner, level + 1, too_deep));
    }
}

/// What is nested deeply is long.
fn start_of(span: Span) -> Span {
    Span::new(span.begin(), span.begin())
}

/// Outlines a file and checks what its functions ask of `t` and `d`.
pub(super) fn check(ast: &AstModule, problems: &mut Vec<Problem>) -> Outline {
    let map = ast.file_span(ast.statement().span).file;
    let mut functions = Vec::new();
    for stmt in statements(ast.statement()) {
        if let Stmt::Def(def) = &stmt.node {
            let parameters = def.params.iter().map(|p| &p.node);
            let is_required = |p: &&Parameter| matches!(p, Parameter::Normal(_, _, None));
            let is_optional = |p: &&Parameter| matches!(p, Parameter::Normal(_, _, Some(_)));
            let is_open = |p: &Parameter| matches!(p, Parameter::Args(..) | Parameter::KwArgs(..));
            functions.push(Function {
                name: def.name.ident.clone(),
                at: map.file_span(def.name.span),
                doc: docstring(&def.body),
                required: parameters
                    .clone()
                    .filter(is_required)
                    .filter_map(|p| p.ident().map(|name| name.ident.clone()))
                    .collect(),
                optional: parameters.clone().filter(is_optional).count(),
                open: parameters.clone().any(is_open),
            });
        }
    }
    check_attributes(ast.statement(), &map, problems);
    ast.statement()
        .visit_expr(|expr| check_bytes(expr, &map, problems));
    Outline {
        doc: docstring(ast.statement()),
        functions,
        map,
    }
}

fn docstring(body: &AstStmt) -> Option<String> {
    let first = statements(body).into_iter().next()?;
    let Stmt::Expression(expr) = &first.node else {
        return None;
    };
    let Expr::Literal(AstLiteral::String(text)) = &expr.node else {
        return None;
    };
    // It is one text for reports, whatever lines it is broken into; and the same one when these are others.
    let words: Vec<&str> = text.node.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Attributes of parameters named `t` and `d`, which by convention are what the API says.
fn check_attributes(stmt: &AstStmt, map: &CodeMap, problems: &mut Vec<Problem>) {
    if let Stmt::Def(def) = &stmt.node {
        for parameter in &def.params {
            let name = parameter.node.ident().map(|name| name.ident.as_str());
            if let Some((object, api)) = name.and_then(|n| Some((n, names::of_parameter(n)?))) {
                let mut uses = Uses {
                    object,
                    api,
                    map,
                    problems,
                };
                uses.check_answers(&def.body);
                def.body.visit_expr(|expr| uses.check(expr));
            }
        }
    }
    stmt.visit_stmt(|inner| check_attributes(inner, map, problems));
}

/// Uses of an object of the API.
struct Uses<'a> {
    object: &'a str,
    api: &'static Names,
    map: &'a CodeMap,
    problems: &'a mut Vec<Problem>,
}

impl Uses<'_> {
    fn check(&mut self, expr: &AstExpr) {
        match &expr.node {
            Expr::Dot(of, attribute) => {
                if let Some((path, members)) = self.members(of)
                    && !members.contains_key(&attribute.node)
                    && !self.is_open(of)
                {
                    self.unknown(&path, members, attribute);
                }
            }
            Expr::Call(function, arguments) => {
                if let Expr::Dot(of, name) = &function.node
                    && let Some((path, members)) = self.members(of)
                {
                    match members.get(&name.node) {
                        Some(Some(signature)) => {
                            if let Some(fault) = fault(signature, &arguments.args) {
                                let message = format!("{path}.{} {fault}", name.node);
                                self.problems
                                    .push(Problem::at(self.map, expr.span, message));
                            }
                        }
                        // A service, and those are no functions.
                        None if self.is_open(of) => self.unknown(&path, members, name),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        expr.visit_expr(|inner| self.check(inner));
    }

    /// An assessor may have answered that it is not so.
    fn check_answers(&mut self, stmt: &AstStmt) {
        if let Stmt::Expression(expr) = &stmt.node
            && let Expr::Call(function, _) = &expr.node
            && dotted(function).as_deref() == Some(&[self.object, "ask"])
        {
            let problem = Problem::at(self.map, expr.span, "the answer is not looked at");
            let help = format!(
                "write {0}.expect({0}.ask(...) == \"yes\", ...)",
                self.object
            );
            self.problems.push(problem.with_help(help));
        }
        stmt.visit_stmt(|inner| self.check_answers(inner));
    }

    fn unknown(&mut self, path: &str, members: &Members, name: &AstString) {
        let known: Vec<_> = members.keys().cloned().collect();
        let message = format!("{path} has no {}", name.node);
        let problem = unknown(self.map, name.span, message, &name.node, &known);
        self.problems.push(problem);
    }

    /// What `t`, `t.console` or `t.services.NAME` has.
    fn members(&self, expr: &AstExpr) -> Option<(String, &'static Members)> {
        let path = dotted(expr)?;
        let (root, inner) = path.split_first()?;
        if *root != self.object {
            return None;
        }
        let members = match inner {
            [] => &self.api.own,
            [space] => self.api.spaces.get(*space)?,
            [names::OPEN_SPACE, name]
                if !self.api.spaces[names::OPEN_SPACE].contains_key(*name) =>
            {
                &self.api.service
            }
            _ => return None,
        };
        Some((path.join("."), members))
    }

    /// Whether that has further attributes, which are the target's.
    fn is_open(&self, expr: &AstExpr) -> bool {
        dotted(expr).is_some_and(|path| path == [self.object, names::OPEN_SPACE])
    }
}

/// What is wrong with the arguments of a call, as far as they can be counted.
fn fault(signature: &Signature, arguments: &[AstArgument]) -> Option<String> {
    let mut positional = 0;
    let mut named = Vec::new();
    for argument in arguments {
        match &argument.node {
            Argument::Positional(_) => positional += 1,
            Argument::Named(name, _) => named.push(name.node.as_str()),
            Argument::Args(_) | Argument::KwArgs(_) => return None,
        }
    }
    signature.fault(positional, &named)
}

fn unknown(map: &CodeMap, at: Span, message: String, name: &str, known: &[String]) -> Problem {
    let help = match closest(name, known) {
        Some(like) => format!("did you mean {like}?"),
        None => format!("it has {}", known.join(", ")),
    };
    Problem::at(map, at, message).with_help(help)
}

/// Starlark's own bytes are never equal to a blob: a comparison would silently be wrong.
fn check_bytes(expr: &AstExpr, map: &CodeMap, problems: &mut Vec<Problem>) {
    let fault = match &expr.node {
        Expr::Literal(AstLiteral::Bytes(_)) => Some("b\"...\" is not used here"),
        Expr::Identifier(name) if name.ident == "bytes" => Some("bytes() is not used here"),
        _ => None,
    };
    if let Some(fault) = fault {
        let help = "write blob(\"text\") or blob_hex(\"00 ff\")";
        problems.push(Problem::at(map, expr.span, fault).with_help(help));
    }
    expr.visit_expr(|inner| check_bytes(inner, map, problems));
}

/// The known name that is most like a wrong one, if any is.
pub(super) fn closest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let likeness = |other: &String| strsim::jaro_winkler(name, other);
    known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|best| likeness(best) > 0.8)
        .map(String::as_str)
}

/// `["t", "console"]` for `t.console`.
fn dotted(expr: &AstExpr) -> Option<Vec<&str>> {
    match &expr.node {
        Expr::Identifier(name) => Some(vec![&name.ident]),
        Expr::Dot(of, attribute) => {
            let mut path = dotted(of)?;
            path.push(&attribute.node);
            Some(path)
        }
        _ => None,
    }
}
