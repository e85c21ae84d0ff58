//! A case as JSON, HTML and pictures
