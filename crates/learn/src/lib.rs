//! Data sets, augmentation and training loops
