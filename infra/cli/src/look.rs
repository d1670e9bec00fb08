//! One look at everything, from a terminal. Must never change anything.
use crate::install::Install;
use interlock::View;
use sight::{Sight, Viewer};

/// Looks at both switches and the budget, side by side, with a terminal's patience: a page waits less.
pub(crate) async fn look(install: &Install, customers: &[String]) -> Sight {
    let zone = install.zone().await;
    let (control, flags, people, day) = tokio::join!(
        install.interlock.control(),
        install.interlock.switch().read(customers),
        install.interlock.people(),
        install.budget.day(zone.name()),
    );
    // Names are an extra, and the page's own short deadline is good enough for them.
    let recent = install.interlock.view().await.recent;
    let view =
        View { at_ms: install.clock.now_ms(), control: Some(control), flags, people: people.ok(), recent };
    Sight::from_view(view, day.ok(), &Viewer { person: None, zone })
}
