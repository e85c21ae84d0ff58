//! Metrics, tables and figures
