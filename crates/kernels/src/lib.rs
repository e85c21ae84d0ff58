//! CPU convolution kernels, forward and gradients
