//! How the panel looks: shape and frame tell the state without colour. Must never use red, which is HALT's
//! alone.
use super::{Panel, State};
use maud::{Markup, html};

/// The panel's own style rules. Red and yellow are not among them.
pub const STYLE: &str = "\
.p{box-sizing:border-box;min-height:272px;padding:16px;border:4px solid;border-radius:12px;display:flex;\
flex-direction:column;gap:5px}.p.short{min-height:0}\
.p h1{margin:0;font-size:min(2.5rem,10vw);line-height:1.1;display:flex;align-items:center;gap:12px;\
overflow-wrap:anywhere}\
.p svg{flex:none;width:40px;height:40px;fill:currentColor;stroke:currentColor;stroke-width:0}\
.p p{margin:0}.p b{font-size:1.2rem;line-height:1.3}.p small{margin-top:auto;font-size:1rem}\
.f-run{background:#0b4f9f;border-color:#0b4f9f;color:#fff}\
.f-dry{border-color:#0b4f9f}.f-dry h1{color:#0b4f9f}.f-dry svg,.f-ring svg{fill:none;stroke-width:3}\
.f-ring{border:8px double}\
.f-halt{background:#111;border-color:#111;color:#fff}\
.f-doubt{border-style:dashed}.f-doubt h1{font-size:min(2.1rem,8.4vw)}\
@media(prefers-color-scheme:dark){.f-dry{border-color:#7db4ff}.f-dry h1{color:#7db4ff}\
.f-halt{background:#fff;border-color:#fff;color:#000}}\
@media(prefers-reduced-motion:no-preference){.f-ring svg{animation:turn 2s linear infinite}\
@keyframes turn{to{transform:rotate(1turn)}}}";

/// The frames, from most to least certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// Solid blue, filled triangle.
    Running,
    /// Hollow blue, hollow triangle.
    Dry,
    /// Double frame, open ring.
    Halting,
    /// Solid black, square.
    Halted,
    /// Dashed frame, warning triangle.
    Doubt,
}

impl Frame {
    const fn of(state: State) -> Self {
        match state {
            State::RunningWrites | State::RunningExcept => Self::Running,
            State::RunningDry => Self::Dry,
            State::Halting => Self::Halting,
            State::NotStarted
            | State::Halted
            | State::HaltedByCap
            | State::HaltedUnknown
            | State::Emptied => Self::Halted,
            State::Stopped
            | State::Unknown
            | State::StoppingByHand
            | State::StoppingOneSwitch
            | State::Sending
            | State::NotConfirmed
            | State::NoContact => Self::Doubt,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Running => "f-run",
            Self::Dry => "f-dry",
            Self::Halting => "f-ring",
            Self::Halted => "f-halt",
            Self::Doubt => "f-doubt",
        }
    }

    fn shape(self) -> Markup {
        html! {
            svg viewBox="0 0 24 24" aria-hidden="true" {
                @match self {
                    Self::Running | Self::Dry => { path d="M5 3l15 9-15 9z"; }
                    Self::Halting => { path d="M12 3a9 9 0 1 1-9 9"; }
                    Self::Halted => { path d="M4 4h16v16H4z"; }
                    // Evenodd: the mark is cut out of the triangle.
                    Self::Doubt => { path fill-rule="evenodd" d="M12 2l11 20H1zm-1 7v7h2V9zm0 8v2h2v-2z"; }
                }
            }
        }
    }
}

impl Panel {
    /// The panel with its heading, for the halt page.
    #[must_use]
    pub fn render(&self) -> Markup {
        let frame = Frame::of(self.state);
        html! {
            section class={ "p " (frame.class()) } {
                h1 { (frame.shape()) (self.word) }
                p { b { (self.bold) } }
                @for line in &self.lines { p { (line) } }
                small { (self.checked) }
            }
        }
    }

    /// The same on one line, for the strip above every page of the console. No heading: the page has its own.
    #[must_use]
    pub fn render_strip(&self) -> Markup {
        let frame = Frame::of(self.state);
        html! {
            div class={ "strip " (frame.class()) } {
                (frame.shape()) strong { (self.word) } " "
                span { (self.bold) }
                @for line in &self.lines { " " span { (line) } }
                " " small { (self.checked) }
            }
        }
    }
}
