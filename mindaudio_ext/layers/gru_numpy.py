"""A GRU's recurrence and its gradients in NumPy, with reset, update and new gates in this order, as PyTorch's.

    r = sigmoid(x_r + W_r h + b_r)    z = sigmoid(x_z + W_z h + b_z)
    n = tanh(x_n + r * (W_n h + b_n))    h <- n + z * (h - n)

with x_r, x_z and x_n the inputs' part of the gates, biases included. Direction 1 runs from the last step to the first.
"""

import numpy as np


def forward(gates: np.ndarray, w_hh: np.ndarray, b_hh: np.ndarray) -> np.ndarray:
    """Returns the outputs [T, B, D * H] of `gates` [T, B, D * 3H] with w_hh [D, 3H, H] and b_hh [D, 3H]."""
    n_steps, n_batch, _ = gates.shape
    n_directions, rows, size = w_hh.shape
    outputs = np.empty((n_steps, n_batch, n_directions * size), gates.dtype)
    for d in range(n_directions):
        x, y = gates[:, :, d * rows : (d + 1) * rows], outputs[:, :, d * size : (d + 1) * size]
        h = np.zeros((n_batch, size), gates.dtype)
        for t in _steps(n_steps, d):
            _, z, n, _ = _step(x[t], h, w_hh[d], b_hh[d])
            h = n + z * (h - n)
            y[t] = h
    return outputs


def backward(
    gates: np.ndarray, w_hh: np.ndarray, b_hh: np.ndarray, outputs: np.ndarray, d_outputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the gradients of `gates`, `w_hh` and `b_hh` from the outputs of `forward` and their gradients."""
    n_steps, n_batch, _ = gates.shape
    n_directions, rows, size = w_hh.shape
    d_gates, d_w, d_b = np.empty_like(gates), np.empty_like(w_hh), np.empty_like(b_hh)
    for d in range(n_directions):
        ours = slice(d * rows, (d + 1) * rows), slice(d * size, (d + 1) * size)
        x, d_x = gates[:, :, ours[0]], d_gates[:, :, ours[0]]
        y, d_y = outputs[:, :, ours[1]], d_outputs[:, :, ours[1]]
        before = np.zeros((n_steps, n_batch, size), gates.dtype)  # h before each step
        d_u = np.empty((n_steps, n_batch, rows), gates.dtype)  # of W h + b
        if d == 0:
            before[1:] = y[:-1]
        else:
            before[:-1] = y[1:]
        d_h = np.zeros((n_batch, size), gates.dtype)
        for t in reversed(_steps(n_steps, d)):
            r, z, n, u_n = _step(x[t], before[t], w_hh[d], b_hh[d])
            d_h += d_y[t]
            d_n = d_h * (1 - z) * (1 - n * n)
            d_r = d_n * u_n * r * (1 - r)
            d_z = d_h * (before[t] - n) * z * (1 - z)
            d_x[t] = np.concatenate((d_r, d_z, d_n), axis=1)
            d_u[t] = np.concatenate((d_r, d_z, d_n * r), axis=1)
            d_h = d_h * z + d_u[t] @ w_hh[d]
        d_w[d] = d_u.reshape(-1, rows).T @ before.reshape(-1, size)
        d_b[d] = d_u.sum(axis=(0, 1))
    return d_gates, d_w, d_b


def backward_flat(gates: np.ndarray, w_hh: np.ndarray, b_hh: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Returns what `backward` gives as one vector: of `w_hh`, `b_hh`, `gates`. `both`: outputs and their gradients."""
    d_gates, d_w, d_b = backward(gates, w_hh, b_hh, both[0], both[1])
    return np.concatenate((d_w.ravel(), d_b.ravel(), d_gates.ravel()))


def _steps(n_steps: int, direction: int) -> range:
    return range(n_steps) if direction == 0 else range(n_steps - 1, -1, -1)


def _step(x: np.ndarray, h: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns r, z, n and W_n h + b_n of one step, each [B, H]."""
    size = h.shape[1]
    u = h @ w.T
    u += b
    rz = x[:, : 2 * size] + u[:, : 2 * size]
    np.tanh(np.multiply(rz, 0.5, out=rz), out=rz)  # sigmoid(v) = (1 + tanh(v / 2)) / 2 overflows nowhere
    rz += 1
    rz *= 0.5
    r, u_n = rz[:, :size], u[:, 2 * size :]
    return r, rz[:, size:], np.tanh(x[:, 2 * size :] + r * u_n), u_n
