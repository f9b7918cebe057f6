//! Interfaces from WIT as it is written.

use wit_parser::{
    Function as Parsed, Handle, Interface as ParsedInterface, Resolve, SourceMap, Type, TypeDefKind, TypeId, WorldItem,
};

use super::shape::{Function, Kind, Shape};
use super::{Interface, Wit, World};

impl Wit {
    /// Reads the files of one package.
    pub(in crate::runtime) fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut sources = SourceMap::new();
        for (path, text) in files {
            sources.push_str(path, text);
        }
        let group = sources.parse().map_err(|(_, error)| error.to_string())?;
        let mut resolve = Resolve::default();
        resolve.push_group(group).map_err(|error| error.to_string())?;
        let mut wit = Self::default();
        for (_, package) in &resolve.packages {
            wit.version = package.name.version.as_ref().map(ToString::to_string).unwrap_or_default();
        }
        for (_, interface) in &resolve.interfaces {
            let name = interface.name.clone().unwrap_or_default();
            wit.interfaces.insert(name, Reader(&resolve).interface(interface));
        }
        for (_, world) in &resolve.worlds {
            let names = |items: &mut dyn Iterator<Item = &WorldItem>| {
                items.filter_map(|item| Reader(&resolve).name(item)).collect()
            };
            let (imports, exports) = (names(&mut world.imports.values()), names(&mut world.exports.values()));
            wit.worlds.insert(world.name.clone(), World { imports, exports });
        }
        Ok(wit)
    }
}

struct Reader<'a>(&'a Resolve);

impl Reader<'_> {
    fn name(&self, item: &WorldItem) -> Option<String> {
        match item {
            WorldItem::Interface { id, .. } => self.0.interfaces.get(*id)?.name.clone(),
            WorldItem::Function(function) => Some(function.name.clone()),
            WorldItem::Type { .. } => None,
        }
    }

    fn interface(&self, interface: &ParsedInterface) -> Interface {
        let functions = interface.functions.iter().map(|(name, function)| (name.clone(), self.function(function)));
        let types = interface.types.iter().map(|(name, id)| (name.clone(), self.shape(Type::Id(*id))));
        Interface { functions: functions.collect(), types: types.collect() }
    }

    fn function(&self, function: &Parsed) -> Function {
        let parameters = function.params.iter().map(|param| (param.name.clone(), self.shape(param.ty)));
        Function { parameters: parameters.collect(), result: function.result.map(|result| self.shape(result)) }
    }

    fn shape(&self, ty: Type) -> Shape {
        let plain = match ty {
            Type::Id(id) => return self.definition(id),
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
        };
        Shape::plain(plain)
    }

    fn definition(&self, id: TypeId) -> Shape {
        let Some(def) = self.0.types.get(id) else { return Shape::plain("_") };
        let of = |name, types: &[Type]| Kind::Of(name, types.iter().map(|ty| Some(self.shape(*ty))).collect());
        let maybe = |ty: Option<Type>| ty.map(|ty| self.shape(ty));
        let kind = match &def.kind {
            TypeDefKind::Record(record) => {
                Kind::Record(record.fields.iter().map(|field| (field.name.clone(), self.shape(field.ty))).collect())
            }
            TypeDefKind::Variant(variant) => {
                Kind::Variant(variant.cases.iter().map(|case| (case.name.clone(), maybe(case.ty))).collect())
            }
            TypeDefKind::Enum(cases) => Kind::Enum(cases.cases.iter().map(|case| case.name.clone()).collect()),
            TypeDefKind::Flags(flags) => Kind::Flags(flags.flags.iter().map(|flag| flag.name.clone()).collect()),
            TypeDefKind::Option(ty) => of("option", &[*ty]),
            TypeDefKind::List(ty) => of("list", &[*ty]),
            TypeDefKind::FixedLengthList(ty, _) => of("fixed-length-list", &[*ty]),
            TypeDefKind::Map(key, value) => of("map", &[*key, *value]),
            TypeDefKind::Tuple(tuple) => of("tuple", &tuple.types),
            TypeDefKind::Result(result) => Kind::Of("result", vec![maybe(result.ok), maybe(result.err)]),
            TypeDefKind::Future(ty) => Kind::Of("future", vec![maybe(*ty)]),
            TypeDefKind::Stream(ty) => Kind::Of("stream", vec![maybe(*ty)]),
            TypeDefKind::Handle(Handle::Own(id)) => of("own", &[Type::Id(*id)]),
            TypeDefKind::Handle(Handle::Borrow(id)) => of("borrow", &[Type::Id(*id)]),
            TypeDefKind::Resource | TypeDefKind::Unknown => Kind::Plain("resource"),
            // What an alias stands for tells more than its name.
            TypeDefKind::Type(ty) => return self.shape(*ty),
        };
        Shape { name: def.name.clone(), kind }
    }
}
