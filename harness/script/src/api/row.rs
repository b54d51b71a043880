//! Rows of the IXIT, as scripts have them.

use std::fmt;
use std::hash::Hash;

use allocative::Allocative;
use starlark::any::ProvidesStaticType;
use starlark::collections::StarlarkHasher;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::values::{
    Heap, NoSerialize, StarlarkPagablePanic, StarlarkValue, Value, ValueLike, starlark_value,
};
use starlark::{starlark_module, starlark_simple_value};

use crate::show;
use crate::stop::Stop;
use provebench_standard::Row;

/// A row. What it does not say, and a unit wants to know, spoils the unit for that row.
#[derive(Debug, Clone, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(crate) struct IxitRow {
    #[allocative(skip)]
    row: Row,
}
starlark_simple_value!(IxitRow);
starlark::methods_static!(ROW_METHODS = row_methods);

impl IxitRow {
    pub(crate) fn new(row: Row) -> Self {
        Self { row }
    }
}

impl IxitRow {
    pub(super) fn row(&self) -> &Row {
        &self.row
    }
}

impl fmt::Display for IxitRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row.id)
    }
}

/// A value of TOML.
fn alloc<'v>(value: &toml::Value, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
    Ok(heap.alloc(serde_json::to_value(value)?))
}

#[starlark_value(type = "row")]
impl<'v> StarlarkValue<'v> for IxitRow {
    fn get_methods() -> Option<&'static Methods> {
        Some(ROW_METHODS.methods())
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let field = index.unpack_str().unwrap_or_default();
        let found = self.row.get(field);
        let found = found.ok_or_else(|| {
            let Row { table, id, .. } = &self.row;
            let field = show::plain(field, 100);
            Stop::Inconclusive(format!("IXIT {table}: {id} does not say `{field}`"))
        });
        let found = found.map_err(starlark::Error::new_native)?;
        Ok(alloc(found, heap)?)
    }

    fn is_in(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other
            .unpack_str()
            .is_some_and(|field| self.row.get(field).is_some()))
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        let other = other.downcast_ref::<Self>();
        Ok(other.is_some_and(|other| {
            (&self.row.table, &self.row.id) == (&other.row.table, &other.row.id)
        }))
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        (&self.row.table, &self.row.id).hash(hasher);
        Ok(())
    }
}

#[starlark_module]
fn row_methods(builder: &mut MethodsBuilder) {
    /// Its id.
    #[starlark(attribute)]
    fn id<'v>(this: &IxitRow) -> anyhow::Result<String> {
        Ok(this.row.id.clone())
    }

    /// The table that it is in.
    #[starlark(attribute)]
    fn table<'v>(this: &IxitRow) -> anyhow::Result<String> {
        Ok(this.row.table.clone())
    }

    /// All that it says: a dict.
    #[starlark(attribute)]
    fn fields<'v>(this: &IxitRow, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        Ok(heap.alloc(serde_json::to_value(&*this.row.fields)?))
    }

    /// What it says in a field; something else where it says nothing.
    fn get<'v>(
        this: &IxitRow,
        #[starlark(require = pos)] field: &str,
        #[starlark(default = starlark::values::none::NoneOr::None)]
        default: starlark::values::none::NoneOr<Value<'v>>,
        heap: Heap<'v>,
    ) -> anyhow::Result<Value<'v>> {
        match this.row.get(field) {
            Some(value) => alloc(value, heap),
            None => Ok(default.into_option().unwrap_or_else(Value::new_none)),
        }
    }
}
