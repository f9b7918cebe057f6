//! Nothing: what there is are its tests.
