//! Every log field and metric name, in one place.
