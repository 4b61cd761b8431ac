"""The network in plain PyTorch: the Qwen3 layout with names as transformers writes them."""
import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 2048, "hidden_size": 256,
    "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "hidden_act": "silu", "max_position_embeddings": 1024, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "attention_bias": False,
    "attention_dropout": 0.0, "tie_word_embeddings": True, "use_sliding_window": False, "sliding_window": None,
    "initializer_range": 0.02, "bos_token_id": None, "eos_token_id": 2041, "pad_token_id": 2039, "torch_dtype": "bfloat16", "use_cache": True,
}


class Norm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), 1e-6)


class Linear(nn.Linear):
    """A linear map, with a low-rank term once adapt has been called."""

    rank = 0

    def adapt(self, rank, alpha):
        self.rank, self.scale = rank, alpha / rank
        self.weight.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, self.in_features) / self.in_features ** .5)
        self.lora_B = nn.Parameter(torch.zeros(self.out_features, rank))

    def forward(self, x):
        y = super().forward(x)
        if self.rank:
            y = y + F.linear(F.linear(x, self.lora_A), self.lora_B) * self.scale
        return y


def linear(i, o):
    return Linear(i, o, bias=False)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, d = c["hidden_size"], c["head_dim"]
        self.q, self.kv, self.d = c["num_attention_heads"], c["num_key_value_heads"], d
        self.q_proj, self.k_proj, self.v_proj = linear(h, self.q * d), linear(h, self.kv * d), linear(h, self.kv * d)
        self.o_proj = linear(self.q * d, h)
        self.q_norm, self.k_norm = Norm(d), Norm(d)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(b, t, self.q, self.d)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(b, t, self.kv, self.d)).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.kv, self.d).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        n = self.q // self.kv
        k, v = k.repeat_interleave(n, 1), v.repeat_interleave(n, 1)
        if x.is_cuda:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # faster backwards than the fused kernel at these lengths
            future = torch.full((t, t), float("-inf"), dtype=x.dtype).triu(1)
            y = ((q * self.d ** -.5) @ k.mT + future).softmax(-1).to(v.dtype) @ v
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, f = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj, self.down_proj = linear(h, f), linear(h, f), linear(f, h)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c["hidden_size"]
        self.input_layernorm, self.post_attention_layernorm = Norm(h), Norm(h)
        self.self_attn, self.mlp = Attention(c), MLP(c)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"])


class Net(nn.Module):
    def __init__(self, c=CONFIG):
        super().__init__()
        self.model = Body(c)
        d, n = c["head_dim"], c["max_position_embeddings"]
        a = torch.outer(torch.arange(n).float(), c["rope_theta"] ** (-torch.arange(0, d, 2).float() / d))
        a = torch.cat((a, a), -1)
        self.register_buffer("cos", a.cos(), persistent=False)
        self.register_buffer("sin", a.sin(), persistent=False)
        self.init(c)

    def init(self, c):
        nn.init.normal_(self.model.embed_tokens.weight, std=.02)
        for name, p in self.named_parameters():
            if p.dim() == 2 and "embed" not in name:
                nn.init.normal_(p, std=.4 / p.shape[1] ** .5)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(p)

    def hidden(self, ids):
        """The normed state behind every token of ids [b, t], as [b, t, hidden]."""
        t = ids.shape[1]
        x = self.model.embed_tokens(ids)
        cos, sin = self.cos[:t].to(x.dtype), self.sin[:t].to(x.dtype)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return self.model.norm(x)

    def logits(self, h):
        return F.linear(h, self.model.embed_tokens.weight)

    def loss(self, ids, at, want):
        """Summed loss of ids [b, t]: behind the places at of the flat ids the tokens want are to be predicted."""
        h = self.hidden(ids).flatten(0, 1).index_select(0, at)
        return F.cross_entropy(self.logits(h).float(), want, reduction="sum")
