//! What a plugin does for the host, as a project shows it.

/// What a plugin does for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name on the command line, and that of its folders of files.
    pub name: &'static str,
    /// Its name for people, with an article.
    pub title: &'static str,
    /// What it does, in one line.
    pub does: &'static str,
    /// What the project's plugin does, in one line.
    pub(crate) about: &'static str,
    /// The world that it is built for, where a toolchain has to be told.
    pub(crate) world: &'static str,
    /// Whether it is handed events, so that `tidemill dev` can hand it those of a server.
    pub(crate) handles: bool,
    /// What its manifest says, in one line; none for a role without one.
    pub(crate) manifest: Option<&'static str>,
}

/// What the manifest of most roles says.
const MANIFEST: &str = "what it listens to, what it may do, its configuration";

/// All of them; the first is the one that most plugins play.
pub const ROLES: &[Role] = &[
    Role {
        name: "subscriber",
        title: "a subscriber",
        does: "reacts to events: keeps state, appends events",
        about: "Points out big orders.",
        world: "described-subscriber-plugin",
        handles: true,
        manifest: Some(MANIFEST),
    },
    Role {
        name: "projection",
        title: "a projection",
        does: "makes state of events, and answers queries from it",
        about: "Sums up orders, and answers queries about them.",
        world: "described-projection-plugin",
        handles: true,
        manifest: Some(MANIFEST),
    },
    Role {
        name: "aggregate",
        title: "an aggregate",
        does: "decides commands by what has happened, and says which events follow",
        about: "Decides commands to orders: each is placed once, and may be cancelled.",
        world: "described-aggregate-plugin",
        handles: false,
        manifest: Some(MANIFEST),
    },
    Role {
        name: "upcaster",
        title: "an upcaster",
        does: "lifts events of older schemas to today's",
        about: "Lifts orders with a total in whole euros to orders in cents.",
        world: "upcaster-plugin",
        handles: false,
        manifest: None,
    },
    Role {
        name: "validator",
        title: "a validator",
        does: "holds commands against rules before they are decided",
        about: "Refuses orders above a limit, before they are decided.",
        world: "validator-plugin",
        handles: false,
        manifest: Some("about which commands it is asked, what it may use, its configuration"),
    },
];

impl Role {
    /// The role of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ROLES.iter().find(|role| role.name == name)
    }

    /// What else `tidemill dev` does for it, behind what a README says of that command.
    pub(crate) const fn live(&self) -> &'static str {
        if self.handles { "; --server URL --from 1 hands it a server's events, writing nothing" } else { "" }
    }

    /// The rows of a README's table that differ from role to role.
    pub(crate) fn files(&self) -> String {
        let manifest = self.manifest.map(|says| format!("| `plugin.toml` | the operator's word: {says} |\n"));
        manifest.unwrap_or_default() + "| `fixtures/` | what it is given, and what must come of it, as JSON or YAML |"
    }
}
