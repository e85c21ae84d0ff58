"""Expected values of batch_norm.txt, made with PyTorch: python batch_norm.py > batch_norm.txt"""
import torch

torch.manual_seed(3)
x = (torch.randn(2, 1, 2, 3, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 40.0, -3.0])).requires_grad_()
dy = torch.randn(2, 1, 2, 3, 3)
norm = torch.nn.BatchNorm3d(3, eps=1e-3, momentum=0.1)
with torch.no_grad():
    norm.weight.copy_(torch.tensor([0.5, -1.5, 2.0]))
    norm.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
y = torch.relu(norm(x.permute(0, 4, 1, 2, 3))).permute(0, 2, 3, 4, 1)
(y * dy).sum().backward()
rows = {
    "x": x, "dy": dy, "weight": norm.weight, "bias": norm.bias, "y": y,
    "d_weight": norm.weight.grad, "d_bias": norm.bias.grad,
    "running_mean": norm.running_mean, "running_var": norm.running_var,
}
for name, values in rows.items():
    print(f"{name}:", *(f"{v:.8g}" for v in values.detach().flatten().tolist()))
