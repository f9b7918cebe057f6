//! Interfaces as a compiled component has them. A component's types are told apart by what they are made of; their
//! names are those under which its instances export them.

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, ResourceType, Type};

use super::shape::{Function, Kind, Shape};
use super::{Interface, Wit};
use crate::runtime::contract::{InterfaceName, PACKAGE};

/// Most types that are looked at; what is larger is nothing to read out to people.
const TYPES_MAX: usize = 10_000;

impl Wit {
    /// What a component imports and exports of the contract's package. A type that is larger than anybody reads is cut.
    pub(in crate::runtime) fn of_component(engine: &wasmtime::Engine, component: &Component) -> Self {
        let ty = component.component_type();
        let items = || ty.imports(engine).chain(ty.exports(engine));
        let instances: Vec<_> = items()
            .filter_map(|(name, item)| match item.ty {
                ComponentItem::ComponentInstance(instance) => Some((InterfaceName::parse(name)?, instance)),
                _ => None,
            })
            .filter(|(name, _)| name.package == PACKAGE)
            .collect();
        let mut reader = Reader { names: Vec::new(), resources: Vec::new(), left: TYPES_MAX };
        for (name, item) in items() {
            reader.name_type(name, item.ty);
        }
        for (_, instance) in &instances {
            reader.name_types(engine, instance);
        }
        let mut wit = Self::default();
        for (name, instance) in &instances {
            wit.interfaces.insert(name.interface.to_owned(), reader.interface(engine, instance));
        }
        wit
    }
}

struct Reader {
    names: Vec<(Type, String)>,
    resources: Vec<(ResourceType, String)>,
    left: usize,
}

impl Reader {
    fn name_types(&mut self, engine: &wasmtime::Engine, instance: &ComponentInstance) {
        for (name, item) in instance.exports(engine) {
            self.name_type(name, item.ty);
        }
    }

    fn name_type(&mut self, name: &str, item: ComponentItem) {
        match item {
            ComponentItem::Resource(resource) => self.resources.push((resource, name.to_owned())),
            ComponentItem::Type(ty @ (Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_))) => {
                let kind = self.kind(&ty);
                // The engine panics when it compares handles of a component that is not instantiated: what holds them
                // stays without a name, and so does what was not read to its end.
                if self.left > 0 && !kind.holds_handle() {
                    self.names.push((ty, name.to_owned()));
                }
            }
            _ => {}
        }
    }

    fn interface(&mut self, engine: &wasmtime::Engine, instance: &ComponentInstance) -> Interface {
        let mut interface = Interface::default();
        for (name, item) in instance.exports(engine) {
            if let ComponentItem::ComponentFunc(function) = item.ty {
                interface.functions.insert(name.to_owned(), self.function(&function));
            }
        }
        interface
    }

    fn function(&mut self, function: &ComponentFunc) -> Function {
        Function {
            parameters: function.params().map(|(name, ty)| (name.to_owned(), self.shape(&ty))).collect(),
            result: function.results().next().map(|ty| self.shape(&ty)),
        }
    }

    fn shape(&mut self, ty: &Type) -> Shape {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return Shape::plain("_");
        }
        let name = self.names.iter().find(|(named, _)| named == ty).map(|(_, name)| name.clone());
        Shape { name, kind: self.kind(ty) }
    }

    /// What a handle is to. As in WIT, it is its name that tells.
    fn resource(&self, resource: ResourceType) -> Shape {
        let name = self.resources.iter().find(|(named, _)| *named == resource).map(|(_, name)| name.clone());
        Shape { name, kind: Kind::Plain("resource") }
    }

    fn maybe(&mut self, ty: Option<Type>) -> Option<Shape> {
        ty.map(|ty| self.shape(&ty))
    }

    fn kind(&mut self, ty: &Type) -> Kind {
        Kind::Plain(match ty {
            Type::Bool => "bool",
            Type::S8 => "s8",
            Type::U8 => "u8",
            Type::S16 => "s16",
            Type::U16 => "u16",
            Type::S32 => "s32",
            Type::U32 => "u32",
            Type::S64 => "s64",
            Type::U64 => "u64",
            Type::Float32 => "f32",
            Type::Float64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            made => return self.made_of(made),
        })
    }

    fn made_of(&mut self, ty: &Type) -> Kind {
        match ty {
            Type::Record(record) => {
                Kind::Record(record.fields().map(|field| (field.name.to_owned(), self.shape(&field.ty))).collect())
            }
            Type::Variant(variant) => {
                Kind::Variant(variant.cases().map(|case| (case.name.to_owned(), self.maybe(case.ty))).collect())
            }
            Type::Enum(cases) => Kind::Enum(cases.names().map(str::to_owned).collect()),
            Type::Flags(flags) => Kind::Flags(flags.names().map(str::to_owned).collect()),
            Type::Own(resource) => Kind::Of("own", vec![Some(self.resource(*resource))]),
            Type::Borrow(resource) => Kind::Of("borrow", vec![Some(self.resource(*resource))]),
            Type::List(list) => Kind::Of("list", vec![Some(self.shape(&list.ty()))]),
            Type::FixedLengthList(list) => Kind::Of("fixed-length-list", vec![Some(self.shape(&list.ty()))]),
            Type::Map(map) => Kind::Of("map", vec![Some(self.shape(&map.key())), Some(self.shape(&map.value()))]),
            Type::Tuple(tuple) => Kind::Of("tuple", tuple.types().map(|ty| Some(self.shape(&ty))).collect()),
            Type::Option(option) => Kind::Of("option", vec![Some(self.shape(&option.ty()))]),
            Type::Result(result) => Kind::Of("result", vec![self.maybe(result.ok()), self.maybe(result.err())]),
            Type::Future(future) => Kind::Of("future", vec![self.maybe(future.ty())]),
            Type::Stream(stream) => Kind::Of("stream", vec![self.maybe(stream.ty())]),
            _ => Kind::Plain("_"),
        }
    }
}
