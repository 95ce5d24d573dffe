//! graph -> graph: passes that keep the answers and make them cheaper.
