//! What somebody typed, read once: URLs of servers, durations and sizes, and what a typing mistake meant.
//!
//! Texts become values here, or a sentence on what is wrong with them. Whether anybody is there turns out by connecting.

mod nearest;
mod percent;
mod secret;
mod units;
mod url;

pub use nearest::{did_you_mean, nearest};
pub use percent::{percent_decoded, percent_encoded};
pub use secret::{Secret, without_passwords};
pub use units::{
    parse_count, parse_duration, parse_latency, parse_limit, parse_number, parse_size, parse_switch, parse_timeout,
    show_duration, show_size, show_timeout,
};
pub use url::{HostPort, Place, Scheme, Url};
