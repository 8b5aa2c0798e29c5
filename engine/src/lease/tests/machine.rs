//! The machine by tables.
