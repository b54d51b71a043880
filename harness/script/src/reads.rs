//! Which tables of the IXIT a test case reads: found in its code and in what it loads, without running it.

use std::collections::{BTreeMap, BTreeSet};

use provebench_standard::IXIT_TABLES;
use starlark::syntax::AstModule;
use starlark::syntax::ast::{Argument, AstExpr, AstLiteral, AstStmt, Expr, Stmt};

/// What a file's functions read, or have others read.
#[derive(Debug, Default)]
pub(super) struct Code {
    functions: BTreeMap<String, Body>,
    /// What is outside of functions.
    top: Body,
    /// What is loaded, by the name that it has here: the file, and its name there.
    loads: BTreeMap<String, (String, String)>,
}

#[derive(Debug, Default)]
struct Body {
    parameters: BTreeSet<String>,
    /// Whatever is mentioned may be called.
    names: BTreeSet<String>,
    /// Tables that are named where they are read.
    reads: BTreeSet<String>,
    /// A parameter says which table is read.
    reads_parameter: bool,
    calls: Vec<Call>,
}

/// A call that has to do with tables.
#[derive(Debug)]
struct Call {
    of: String,
    tables: Vec<String>,
    passes_parameter: bool,
}

impl Code {
    /// Of a file; `resolve` finds the paths of those that it loads.
    pub(super) fn of(ast: &AstModule, resolve: impl Fn(&str) -> Option<String>) -> Self {
        let mut code = Self::default();
        for stmt in statements(ast.statement()) {
            match &stmt.node {
                Stmt::Def(def) => {
                    let parameters = def.params.iter().filter_map(|p| p.node.ident());
                    let mut body = Body {
                        parameters: parameters.map(|name| name.ident.clone()).collect(),
                        ..Body::default()
                    };
                    body.look_at(&def.body);
                    code.functions.insert(def.name.ident.clone(), body);
                }
                _ => code.top.look_at(stmt),
            }
        }
        for load in ast.loads() {
            let Some(path) = resolve(load.module_id) else {
                continue;
            };
            for (here, there) in &load.symbols {
                let there = (path.clone(), (*there).to_owned());
                code.loads.insert((*here).to_owned(), there);
            }
        }
        code
    }
}

impl Body {
    fn look_at(&mut self, stmt: &AstStmt) {
        stmt.visit_expr(|expr| self.look_into(expr));
    }

    fn look_into(&mut self, expr: &AstExpr) {
        match &expr.node {
            Expr::Identifier(name) => {
                self.names.insert(name.ident.clone());
            }
            Expr::Call(function, arguments) => {
                let arguments = arguments.args.iter().map(|argument| match &argument.node {
                    Argument::Positional(value)
                    | Argument::Named(_, value)
                    | Argument::Args(value)
                    | Argument::KwArgs(value) => value,
                });
                let tables: Vec<String> = arguments.clone().filter_map(table).collect();
                let passes_parameter = arguments.clone().any(|value| self.is_parameter(value));
                match &function.node {
                    Expr::Dot(_, name) if name.node == "ixit" => {
                        self.reads.extend(tables);
                        self.reads_parameter |= passes_parameter;
                    }
                    Expr::Identifier(name) if passes_parameter || !tables.is_empty() => {
                        self.calls.push(Call {
                            of: name.ident.clone(),
                            tables,
                            passes_parameter,
                        });
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        expr.visit_expr(|inner| self.look_into(inner));
    }

    fn is_parameter(&self, value: &AstExpr) -> bool {
        matches!(&value.node, Expr::Identifier(name) if self.parameters.contains(&name.ident))
    }
}

/// The table that an expression names.
fn table(expr: &AstExpr) -> Option<String> {
    match &expr.node {
        Expr::Literal(AstLiteral::String(text)) if IXIT_TABLES.contains(&text.node.as_str()) => {
            Some(text.node.clone())
        }
        _ => None,
    }
}

/// The statements of a file, or of a body.
pub(super) fn statements(stmt: &AstStmt) -> Vec<&AstStmt> {
    match &stmt.node {
        Stmt::Statements(all) => all.iter().collect(),
        _ => vec![stmt],
    }
}

/// All files of test cases, by path.
pub(super) struct Codes(pub(super) BTreeMap<String, Code>);

/// A function: its file and its name.
type At = (String, String);

impl Codes {
    /// The tables that these functions of a file read, by themselves or by what they call.
    pub(super) fn read_by<'a>(
        &self,
        path: &str,
        functions: impl Iterator<Item = &'a str>,
    ) -> BTreeSet<String> {
        let takers = self.takers();
        let mut tables = BTreeSet::new();
        let mut seen: BTreeSet<At> = BTreeSet::new();
        let mut todo: Vec<At> = functions.map(|f| (path.to_owned(), f.to_owned())).collect();
        while let Some(at) = todo.pop() {
            if !seen.insert(at.clone()) {
                continue;
            }
            let (path, name) = &at;
            let Some(code) = self.0.get(path) else {
                continue;
            };
            for body in code.functions.get(name).into_iter().chain([&code.top]) {
                tables.extend(body.reads.iter().cloned());
                for call in &body.calls {
                    if self
                        .resolve(path, &call.of)
                        .is_some_and(|at| takers.contains(&at))
                    {
                        tables.extend(call.tables.iter().cloned());
                    }
                }
                todo.extend(
                    body.names
                        .iter()
                        .filter_map(|name| self.resolve(path, name)),
                );
            }
        }
        tables
    }

    /// Functions that read the table which they are told.
    fn takers(&self) -> BTreeSet<At> {
        let mut takers: BTreeSet<At> = BTreeSet::new();
        loop {
            let before = takers.len();
            for (path, code) in &self.0 {
                for (name, body) in &code.functions {
                    let passes_on = |call: &Call| {
                        let of = self.resolve(path, &call.of);
                        call.passes_parameter && of.is_some_and(|of| takers.contains(&of))
                    };
                    if body.reads_parameter || body.calls.iter().any(passes_on) {
                        takers.insert((path.clone(), name.clone()));
                    }
                }
            }
            if takers.len() == before {
                return takers;
            }
        }
    }

    /// The function that a name stands for in a file.
    fn resolve(&self, path: &str, name: &str) -> Option<At> {
        let code = self.0.get(path)?;
        if code.functions.contains_key(name) {
            return Some((path.to_owned(), name.to_owned()));
        }
        code.loads.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use starlark::syntax::{AstModule, Dialect};

    use super::*;

    const LIB: &str = "\
def rows(t, table):\n    return t.ixit(table)\n\n\
def by_way_of(t, name):\n    return [row for row in rows(t, name)]\n\n\
def erases(t):\n    return t.ixit(\"25-DelFunc\")\n\n\
def names(t):\n    return \"21-PersData\"\n";

    fn code(text: &str) -> Code {
        let ast = AstModule::parse("file", text.to_owned(), &Dialect::Extended);
        Code::of(&ast.expect("it parses"), |module| Some(module.to_owned()))
    }

    #[rstest]
    #[case::itself("t.ixit(\"7-UpdMech\")", &["7-UpdMech"])]
    #[case::what_it_calls("erases(t)", &["25-DelFunc"])]
    #[case::what_it_hands_on("apply(erases)", &["25-DelFunc"])]
    #[case::a_table_for_a_reader("rows(t, \"7-UpdMech\")", &["7-UpdMech"])]
    #[case::by_way_of_another("by_way_of(t, name = \"7-UpdMech\")", &["7-UpdMech"])]
    #[case::within_another_call("len([row.id for row in rows(t, \"7-UpdMech\")])", &["7-UpdMech"])]
    #[case::in_a_text("t.log(\"7-UpdMech\")", &[])]
    #[case::for_who_reads_none("names(t, \"7-UpdMech\")", &[])]
    #[case::no_table("t.ixit(\"7-Upd\")", &[])]
    #[case::of_another_unit("t.log(\"x\")", &[])]
    fn tables_are_found_where_they_are_read(#[case] body: &str, #[case] expected: &[&str]) {
        let case = format!(
            "load(\"lib\", \"by_way_of\", \"erases\", \"names\", \"rows\")\n\n\
             def unit_a(t):\n    {body}\n\ndef unit_b(t):\n    t.ixit(\"29-InpVal\")\n"
        );
        let files = [("case", code(&case)), ("lib", code(LIB))];
        let codes = files.map(|(path, code)| (path.to_owned(), code));
        let read = Codes(codes.into()).read_by("case", ["unit_a"].into_iter());
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        assert_eq!(read, expected);
    }
}
