//! The records, their links and their history, and how a change is applied. Must never check a request: that
//! is `writes`.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `deals`, 0-3.
    Deal,
    /// `contacts`, 0-1.
    Contact,
    /// `companies`, 0-2.
    Company,
    /// `emails`, 0-49.
    Email,
    /// `notes`, 0-46.
    Note,
    /// `tasks`, 0-27.
    Task,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Deal, Self::Contact, Self::Company, Self::Email, Self::Note, Self::Task];

    /// The word in paths and in `associations`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deal => "deals",
            Self::Contact => "contacts",
            Self::Company => "companies",
            Self::Email => "emails",
            Self::Note => "notes",
            Self::Task => "tasks",
        }
    }

    /// The word in association type names and classic subscriptions.
    #[must_use]
    pub fn singular(self) -> &'static str {
        match self {
            Self::Deal => "deal",
            Self::Contact => "contact",
            Self::Company => "company",
            Self::Email => "email",
            Self::Note => "note",
            Self::Task => "task",
        }
    }

    /// HubSpot's object type id.
    #[must_use]
    pub fn type_id(self) -> &'static str {
        match self {
            Self::Deal => "0-3",
            Self::Contact => "0-1",
            Self::Company => "0-2",
            Self::Email => "0-49",
            Self::Note => "0-46",
            Self::Task => "0-27",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| text == kind.plural() || text == kind.singular() || text == kind.type_id())
    }
}

/// One way in which two kinds are linked: the type id there and back. A primary company has two types at
/// once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkType {
    pub(crate) from: Kind,
    pub(crate) to: Kind,
    pub(crate) type_id: u32,
    pub(crate) back: u32,
    pub(crate) primary: bool,
}

const fn link(from: Kind, to: Kind, type_id: u32, back: u32) -> LinkType {
    LinkType { from, to, type_id, back, primary: false }
}

const fn primary(from: Kind, to: Kind, type_id: u32, back: u32) -> LinkType {
    LinkType { from, to, type_id, back, primary: true }
}

const LINK_TYPES: [LinkType; 14] = [
    link(Kind::Deal, Kind::Contact, 3, 4),
    link(Kind::Deal, Kind::Company, 341, 342),
    primary(Kind::Deal, Kind::Company, 5, 6),
    link(Kind::Contact, Kind::Company, 279, 280),
    primary(Kind::Contact, Kind::Company, 1, 2),
    link(Kind::Email, Kind::Deal, 210, 209),
    link(Kind::Email, Kind::Contact, 198, 197),
    link(Kind::Email, Kind::Company, 186, 185),
    link(Kind::Note, Kind::Deal, 214, 213),
    link(Kind::Note, Kind::Contact, 202, 201),
    link(Kind::Note, Kind::Company, 190, 189),
    link(Kind::Task, Kind::Deal, 216, 215),
    link(Kind::Task, Kind::Contact, 204, 203),
    link(Kind::Task, Kind::Company, 192, 191),
];

/// The link type that starts at `from` and has this id.
pub(crate) fn link_type(from: Kind, type_id: u32) -> Option<LinkType> {
    LINK_TYPES.iter().find_map(|one| {
        if one.from == from && one.type_id == type_id {
            Some(*one)
        } else if one.to == from && one.back == type_id {
            Some(LinkType { from, to: one.from, type_id, back: one.type_id, primary: one.primary })
        } else {
            None
        }
    })
}

/// The plain link type between two kinds.
pub(crate) fn plain_link(from: Kind, to: Kind) -> Option<u32> {
    LINK_TYPES.iter().filter(|one| !one.primary).find_map(|one| {
        if one.from == from && one.to == to {
            Some(one.type_id)
        } else if one.to == from && one.from == to {
            Some(one.back)
        } else {
            None
        }
    })
}

/// One value that a property had, as `propertiesWithHistory` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Which property.
    pub property: String,
    /// The value from then on.
    pub value: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// `CRM_UI`, `INTEGRATION`, `IMPORT`, ...
    pub source_type: String,
    /// `userId:<id>` for people, the application's id for applications.
    pub source_id: String,
}

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) source_type: String,
    pub(crate) source_id: String,
}

impl Source {
    pub(crate) fn person(user_id: u64) -> Self {
        Self { source_type: "CRM_UI".to_owned(), source_id: format!("userId:{user_id}") }
    }

    pub(crate) fn app(app_id: u64) -> Self {
        Self { source_type: "INTEGRATION".to_owned(), source_id: app_id.to_string() }
    }
}

/// A link of a new record to one that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) to: Kind,
    pub(crate) id: u64,
    pub(crate) type_id: u32,
}

/// One change of the records; what the journal keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Create {
        kind: Kind,
        id: u64,
        properties: BTreeMap<String, String>,
        links: Vec<Link>,
        source: Source,
        at_ms: i64,
    },
    Update {
        kind: Kind,
        id: u64,
        properties: BTreeMap<String, String>,
        source: Source,
        at_ms: i64,
    },
}

/// Which record.
pub(crate) type Place = (Kind, u64);

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) properties: BTreeMap<String, String>,
    /// Oldest first.
    pub(crate) history: Vec<Version>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) source: Source,
}

/// All records of the account.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) all: BTreeMap<Place, Record>,
    links: Vec<(Place, Place, u32)>,
}

/// Ids that HubSpot gives out itself start here; seeded ids are below.
const FIRST_ID: u64 = 100_000_001;

impl Records {
    pub(crate) fn get(&self, kind: Kind, id: u64) -> Option<&Record> {
        self.all.get(&(kind, id))
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.all.keys().map(|(_, id)| id.saturating_add(1)).max().unwrap_or(FIRST_ID).max(FIRST_ID)
    }

    /// Applies the change and answers what really changed, as `(property, value)`.
    pub(crate) fn apply(&mut self, change: &Change) -> Vec<Version> {
        match change {
            Change::Create { kind, id, properties, links, source, at_ms } => {
                let record = Record {
                    properties: BTreeMap::new(),
                    history: Vec::new(),
                    created_ms: *at_ms,
                    updated_ms: *at_ms,
                    source: source.clone(),
                };
                let place = (*kind, *id);
                self.all.insert(place, record);
                for one in links {
                    self.link(place, (one.to, one.id), one.type_id);
                }
                self.set(place, properties, source, *at_ms)
            }
            Change::Update { kind, id, properties, source, at_ms } => {
                self.set((*kind, *id), properties, source, *at_ms)
            }
        }
    }

    fn set(
        &mut self,
        place: Place,
        properties: &BTreeMap<String, String>,
        source: &Source,
        at_ms: i64,
    ) -> Vec<Version> {
        let Some(record) = self.all.get_mut(&place) else { return Vec::new() };
        record.updated_ms = record.updated_ms.max(at_ms);
        let mut changed = Vec::new();
        for (property, value) in properties {
            // The same value again is no new version.
            if record.properties.get(property) == Some(value) {
                continue;
            }
            record.properties.insert(property.clone(), value.clone());
            changed.push(Version {
                property: property.clone(),
                value: value.clone(),
                at_ms,
                source_type: source.source_type.clone(),
                source_id: source.source_id.clone(),
            });
        }
        record.history.extend(changed.iter().cloned());
        changed
    }

    fn link(&mut self, from: Place, to: Place, type_id: u32) {
        let Some(kind) = link_type(from.0, type_id) else { return };
        self.links.push((from, to, type_id));
        self.links.push((to, from, kind.back));
        // A primary link is a plain one too.
        if kind.primary
            && let (Some(there), Some(back)) = (plain_link(from.0, to.0), plain_link(to.0, from.0))
        {
            self.links.push((from, to, there));
            self.links.push((to, from, back));
        }
    }

    /// The records of a kind that are linked to this one, with all type ids of each, in the order of linking.
    pub(crate) fn linked(&self, from: Place, to: Kind) -> Vec<(u64, Vec<u32>)> {
        let mut found: Vec<(u64, Vec<u32>)> = Vec::new();
        for (start, (kind, id), type_id) in &self.links {
            if *start != from || *kind != to {
                continue;
            }
            match found.iter_mut().find(|(known, _)| known == id) {
                Some((_, types)) => types.push(*type_id),
                None => found.push((*id, vec![*type_id])),
            }
        }
        found
    }
}
