//! People over the CQL store, on a real Apache Cassandra: they talk, the server is
//! killed, they talk on. And what operators see of it.

mod guarded;
mod operators;
mod people;
mod reads;
