//! The folders of what events and commands are held to: what cannot be read lets nothing pass.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::command::{Checks, Validate};
use crate::event::{EventType, NewEvent};
use crate::plugin::{Loaded, Loader};
use crate::runtime::{InstanceOptions, LoadError, LoadOptions};
use crate::schema::{Allowance, SchemaCell};

/// Never has the time to compile a validator.
#[derive(Default)]
struct Hasty(AtomicU32);

impl Loader for Hasty {
    fn load(&self, _: &[u8], _: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError> {
        Err(LoadError::no_upcaster(&[]))
    }

    fn load_validator(&self, _: &[u8], _: InstanceOptions) -> Result<Arc<dyn Validate>, LoadError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(LoadError::CompileLimit { reason: "it took too long".into() })
    }
}

struct Held {
    fixture: Fixture,
    checks: Arc<Checks>,
    loader: Arc<Hasty>,
    files: CommandFiles,
}

impl Held {
    fn over(fixture: Fixture) -> Self {
        let (checks, loader) = (Arc::<Checks>::default(), Arc::<Hasty>::default());
        let files = CommandFiles::new(fixture.directory.path(), Arc::clone(&checks), loader.clone());
        Self { fixture, checks, loader, files }
    }

    /// Looks once; answers what is wrong.
    fn look(&mut self) -> BTreeMap<PathBuf, SourceError> {
        self.files.look().problems
    }

    /// Why schemas are not known.
    fn schemas_unknown(&self) -> Option<String> {
        let [schemas, _] = self.checks.unknown();
        schemas
    }
}

#[test]
fn one_schema_that_cannot_be_read_at_the_start_has_no_command_decided() {
    let fixture = Fixture::new();
    let path = fixture.path("schemas/commands/account/Withdraw.json");
    fixture.write("schemas/commands/account/Deposit.json", "{}");
    fs::create_dir(&path).unwrap();
    let mut held = Held::over(fixture);
    for _ in 0..3 {
        assert!(held.schemas_unknown().unwrap().contains("is not a file"));
        assert_eq!(held.look().len(), 1, "and it is told");
    }
    fs::remove_dir(&path).unwrap();
    (0..2).for_each(|_| drop(held.look()));
    assert_eq!((held.schemas_unknown(), held.look().len()), (None, 0));
    fs::create_dir(&path).unwrap();
    assert_eq!((held.look().len(), held.schemas_unknown()), (1, None), "what was read goes on");
}

#[test]
fn a_folder_that_cannot_be_listed_at_the_start_lets_nothing_pass() {
    let fixture = Fixture::new();
    fixture.write("schemas", "no folder");
    fixture.write("validators", "no folder");
    let cell = Arc::<SchemaCell>::default();
    let mut types = TypeFiles::new(fixture.directory.path(), Arc::clone(&cell));
    let mut held = Held::over(fixture);
    assert!(held.checks.unknown().iter().all(Option::is_some));
    assert_eq!(held.look().len(), 2);
    let event = |name: &str| NewEvent::json(EventType::new(name).unwrap(), "1");
    let check = |name: &str| cell.get().check(&event(name), &mut Allowance::light());
    let refused = format!("{:?}", check("E").unwrap_err());
    assert!(refused.contains("nothing is appended until they are"), "{refused}");
    assert!(check("$command").is_ok(), "the host's own");
    assert!(types.look().0.is_some());
    for folder in ["schemas", "validators"] {
        fs::remove_file(held.fixture.path(folder)).unwrap();
    }
    for _ in 0..2 {
        held.look();
        types.look();
    }
    assert!(held.checks.unknown().iter().all(Option::is_none));
    assert!(check("E").is_ok());
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_not_an_absent_folder() {
    let fixture = Fixture::new();
    for folder in ["schemas", "validators"] {
        std::os::unix::fs::symlink(fixture.path("nowhere"), fixture.path(folder)).unwrap();
    }
    let cell = Arc::<SchemaCell>::default();
    drop(TypeFiles::new(fixture.directory.path(), Arc::clone(&cell)));
    let event = NewEvent::json(EventType::new("E").unwrap(), "1");
    assert!(cell.get().check(&event, &mut Allowance::light()).is_err());
    let [_, validators] = Held::over(fixture).checks.unknown();
    assert!(validators.is_some());
}

#[test]
fn a_validator_that_cannot_be_compiled_in_time_is_tried_again_ever_more_rarely() {
    let fixture = Fixture::new();
    fixture.write("validators/v.wasm", "wasm");
    let mut held = Held::over(fixture);
    let mut tries = Vec::new();
    for look in 0..40 {
        let before = held.loader.0.load(Ordering::Relaxed);
        held.look();
        tries.extend((held.loader.0.load(Ordering::Relaxed) > before).then_some(look));
    }
    let [first, rest @ ..] = tries.as_slice() else { panic!("it is never tried") };
    assert_eq!(rest.iter().map(|look| look - first).collect::<Vec<_>>(), [2, 6, 14, 30]);
    let [_, validators] = held.checks.unknown();
    assert!(validators.unwrap().contains("took too long"));
}
