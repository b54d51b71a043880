//! What can be found wrong with a file without running it.

use starlark::codemap::{CodeMap, FileSpan, Span};
use starlark::syntax::AstModule;
use starlark::syntax::ast::{AstExpr, AstLiteral, AstStmt, Expr, Parameter, Stmt};

use super::api;
use super::error::Problem;

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
    Outline {
        doc: docstring(ast.statement()),
        functions,
        map,
    }
}

fn statements(stmt: &AstStmt) -> Vec<&AstStmt> {
    match &stmt.node {
        Stmt::Statements(all) => all.iter().collect(),
        _ => vec![stmt],
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
    let text = text.node.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Attributes of parameters named `t` and `d`, which by convention are what the API says.
fn check_attributes(stmt: &AstStmt, map: &CodeMap, problems: &mut Vec<Problem>) {
    if let Stmt::Def(def) = &stmt.node {
        for parameter in &def.params {
            let name = parameter.node.ident().map(|name| name.ident.as_str());
            if let Some((name, api)) = name.and_then(|n| Some((n, api::of_parameter(n)?))) {
                def.body
                    .visit_expr(|expr| check_expr(expr, name, &api, map, problems));
            }
        }
    }
    stmt.visit_stmt(|inner| check_attributes(inner, map, problems));
}

fn check_expr(
    expr: &AstExpr,
    object: &str,
    api: &api::Names,
    map: &CodeMap,
    problems: &mut Vec<Problem>,
) {
    if let Expr::Dot(of, attribute) = &expr.node {
        let path = dotted(of);
        let names = match path.as_deref() {
            Some([root]) if *root == object => Some(&api.own),
            Some([root, space]) if *root == object => api.spaces.get(*space),
            _ => None,
        };
        if let (Some(names), Some(path)) = (names, path)
            && !names.contains(&attribute.node)
        {
            let message = format!("{} has no {}", path.join("."), attribute.node);
            problems.push(unknown(
                map,
                attribute.span,
                message,
                &attribute.node,
                names,
            ));
        }
    }
    expr.visit_expr(|inner| check_expr(inner, object, api, map, problems));
}

fn unknown(map: &CodeMap, at: Span, message: String, name: &str, known: &[String]) -> Problem {
    let help = match closest(name, known) {
        Some(like) => format!("did you mean {like}?"),
        None => format!("it has {}", known.join(", ")),
    };
    Problem::at(map, at, message).with_help(help)
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
