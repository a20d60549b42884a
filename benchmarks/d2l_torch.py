"""The d2l book's Bahdanau model in PyTorch, to compare with: its own classes and its own trainer.

The decoder is the one class that stands in the book and not in the package (section 11.4); it is
written here as the book has it.
"""

import contextlib
import time

import torch
from torch import nn

from d2l_ext import compat, corpora
from d2l_ext import torch as library

book = compat.import_d2l("torch")
device = library.device()


class Seq2SeqAttentionDecoder(book.AttentionDecoder):
    """Additive attention before a GRU, as the book writes it: keys are projected at each step."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.attention = book.AdditiveAttention(num_hiddens, dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.GRU(embed_size + num_hiddens, num_hiddens, num_layers, dropout=dropout)
        self.dense = nn.LazyLinear(vocab_size)
        self.apply(book.init_seq2seq)

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, hidden_state = enc_outputs
        return outputs.permute(1, 0, 2), hidden_state, enc_valid_lens

    def forward(self, X, state):
        enc_outputs, hidden_state, enc_valid_lens = state
        outputs, self._attention_weights = [], []
        for x in self.embedding(X).permute(1, 0, 2):
            query = torch.unsqueeze(hidden_state[-1], dim=1)
            context = self.attention(query, enc_outputs, enc_outputs, enc_valid_lens)
            x = torch.cat((context, torch.unsqueeze(x, dim=1)), dim=-1)
            out, hidden_state = self.rnn(x.permute(1, 0, 2), hidden_state)
            outputs.append(out)
            self._attention_weights.append(self.attention.attention_weights)
        outputs = self.dense(torch.cat(outputs, dim=0))
        return outputs.permute(1, 0, 2), [enc_outputs, hidden_state, enc_valid_lens]

    @property
    def attention_weights(self):
        return self._attention_weights


class Seq2Seq(book.Seq2Seq):
    """The book's model, with the loss that stands in its text (section 10.7)."""

    def loss(self, Y_hat, Y):
        losses = super().loss(Y_hat, Y, averaged=False)
        mask = (Y.reshape(-1) != self.tgt_pad).float()
        return (losses * mask).sum() / mask.sum()

    def plot(self, key, value, train):
        """Draw nothing: the board would cost time that is not the model's."""


class Data(book.DataModule):
    """A corpus as the book's model takes it: all sentences padded to the same number of steps."""

    def __init__(self, corpus, batch_size, num_steps):
        super().__init__()
        self.batch_size = batch_size
        self.splits = {
            split: [
                torch.tensor(array, dtype=torch.int64)
                for array in padded(getattr(corpus, split), corpus, num_steps)
            ]
            for split in ("train", "validation")
        }

    def get_dataloader(self, train):
        tensors = self.splits["train" if train else "validation"]
        return self.get_tensorloader(tensors, train)


def padded(pairs, corpus, num_steps):
    """src, tgt_in, src_valid_len and tgt_out of pairs, each sentence with num_steps steps."""
    batch = corpora.pad_batch(pairs, corpus.src_vocab, corpus.tgt_vocab, multiple=num_steps)
    return batch.src, batch.tgt_in, batch.src_valid_len, batch.tgt_out


def new_model(config, lr):
    """The book's model of our configuration's sizes."""
    sizes = [config[key] for key in ("embed_size", "num_hiddens", "num_layers", "dropout")]
    encoder = book.Seq2SeqEncoder(config["src_vocab_size"], *sizes)
    decoder = Seq2SeqAttentionDecoder(config["tgt_vocab_size"], *sizes)
    return Seq2Seq(encoder, decoder, tgt_pad=corpora.SPECIAL_TOKENS.index("<pad>"), lr=lr)


def train(model, corpus, num_epochs, batch_size, num_steps, grad_clip):
    """Train with the book's trainer.

    Returns:
        Seconds of each epoch, its validation included, as the book's trainer does it.
    """
    data = Data(corpus, batch_size, num_steps)
    trainer = book.Trainer(
        max_epochs=num_epochs,
        gradient_clip_val=grad_clip,
        num_gpus=int(device.type == "cuda"),
    )
    seconds, fit_epoch = [], trainer.fit_epoch

    def timed():
        start = time.perf_counter()
        fit_epoch()
        wait()
        seconds.append(time.perf_counter() - start)

    trainer.fit_epoch = timed
    trainer.fit(model, data)
    return seconds


def wait():
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def tensors(pairs, corpus, num_steps):
    """A batch as the book's model takes it."""
    return [torch.tensor(array).to(device) for array in padded(pairs, corpus, num_steps)]


def mean_loss(model, pairs, corpus, num_steps):
    """The loss per real target token of some pairs, without dropout."""
    batch = tensors(pairs, corpus, num_steps)
    model.eval()
    with torch.no_grad():
        return model.loss(model(*batch[:-1]), batch[-1].long()).item()


def translate(model, pairs, corpus, num_steps):
    """Token lists of greedy translations by the book's predict_step, cut at <eos>."""
    batch = tensors(pairs, corpus, num_steps)
    model.eval()
    with torch.no_grad():
        ids, _ = model.predict_step(batch, device, num_steps)
    found = []
    for row in ids.tolist():
        with contextlib.suppress(ValueError):
            row = row[: row.index(corpus.tgt_vocab.eos)]
        found.append(corpus.tgt_vocab.to_tokens(row))
    return found


def training_step(model, batch, grad_clip):
    """A function that trains on a `corpora.Batch` once, as the book's trainer does."""
    src, lens, tgt_in, tgt_out, _ = (
        torch.tensor(array, dtype=torch.int64, device=device) for array in batch
    )
    trainer = book.Trainer(max_epochs=1)
    model.to(device)
    optimizer = model.configure_optimizers()
    model.train()

    def step():
        loss = model.training_step((src, tgt_in, lens, tgt_out))
        optimizer.zero_grad()
        with torch.no_grad():
            loss.backward()
            trainer.clip_gradients(grad_clip, model)
            optimizer.step()
        wait()

    return step
