//! Tests of the outbox on virtual time.
