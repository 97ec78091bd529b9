#!/usr/bin/env python3
"""Makes wordpiece.vocab and wordpiece.golden beside this file with the `tokenizers` package (0.23.3 was used), an
implementation of BERT's tokenization that shares no code with ours.

Its tables are older than ours (about Unicode 8), it treats [CLS] and the like in text as special, drops private and
unassigned characters, knows no final sigma, and has CJK extension E begin at U+2B920: none of that is BERT's own
behaviour, so no string here depends on it. test_wordpiece.c has those cases by hand.

A line of the golden file: cased or uncased, the text as hexadecimal UTF-8, the ids. Lines with # are comments."""
import os
from tokenizers import BertWordPieceTokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

CASES = [
    ("plain", "The quick brown fox jumps over the lazy dog."),
    ("blanks of all kinds", " a\tb\nc\r\nd\u00a0e\u3000f\u2003g\u2028h\u2029i\u202fj\u1680k\u205fl  "),
    ("accents, precomposed", "Café naïve Ångström façade œuvre Łódź Đặng Việt Nam señor"),
    ("accents, combining", "Cafe\u0301 nai\u0308ve A\u030angstro\u0308m Vie\u0323\u0302t"),
    ("several marks, out of order", "a\u0323\u0302 a\u0302\u0323 \u0301\u0302 x\u0301\u0302\u0303\u0304y"),
    ("marks alone", "\u0301 \u0308\u0301"),
    ("letter-like signs", "\u212bngstr\u00f6m \u212a \u2126 \u2103 \u2116"),
    ("capitals that change length or script", "\u0130stanbul STRASSE Straße \u1e9e \u01c5 \u01c4 \u0391\u03b2\u0393 ПРИВЕТ Ёлка Йод"),
    ("Greek accents", "\u0386\u03b8\u03ae\u03bd\u03b1 \u1f08\u03b8\u1fc6\u03bd\u03b1\u03b9 \u1fc6\u1fb3 \u03c3\u03c2"),
    ("Chinese among Latin", "BERT是一个model,很好。第2版"),
    ("ideographs at the ends of BERT's ranges",
     "\u33ff\u3400\u4db5\u4dc0\u4dff\u4e00\u9fa5\uf900\ufad9\ufb00a\U00020000b\U0002a6d6c\U0002a700d\U0002b740e\U0002f800f\U0002fa1dg"),
    ("Japanese and Korean", "東京タワー カ\u3099 ガ は、ひらがな。 한국어 한국 \u1112\u1161\u11ab ﾊﾟｰ"),
    ("control and format characters", "a\u0001b\u0007c\u000bd\u000ce\u001bf\u007fg\u0080h\u0085i\u00adj\u200bk\u200el\ufeffm\u2060n"),
    ("replacement character", "a\ufffdb \ufffd \ufffd\ufffdc"),
    ("punctuation, ASCII", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ a!b\"c#d$e%f&g'h(i)j*k+l,m-n.o/p:q;r<s=t>u?v@w[x\\y]z^a_b`c{d|e}f~g"),
    ("punctuation, other", "“quoted” ‘single’ — dash–dash… «guillemets» ¿qué? ¡sí! §5 ¶ · ‰ „x‟ 、。「」 ； ！？ ／"),
    ("symbols that are no punctuation", "€5 £3 ©2020 ™ ° ± × ÷ → ∑ √2 ¼ ² ½"),
    ("signs that decompose to punctuation", "\u037e \u0387 \u1fef \u2000a\u2001b"),
    ("emoji", "I ❤️ 👍🏽 👨\u200d👩\u200d👧 🇩🇪 😀x😀"),
    ("compatibility characters", "ﬁne ﬀ Ａｂｃ １２３ 𝐁𝐨𝐥𝐝 ① ㎏ ㍿"),
    ("Hebrew and Arabic with points", "שָׁלוֹם עֲלֵיכֶם مَرْحَبًا بِالعَالَم ؟ ،"),
    ("Indic", "नमस्ते दुनिया। কেমন আছো தமிழ் ภาษาไทย ที่นี่"),
    ("hash marks", "##ab # ## a## ##"),
    ("numbers", "3.14159 1,000,000 1e-5 0x1F 12:30"),
    ("99, 100 and 101 characters", "a" * 99 + " " + "a" * 100 + " " + "a" * 101),
    ("100 characters are counted after accents are stripped", "e\u0301" * 100 + " " + "e\u0301" * 101 + " é" + "é" * 99),
    ("100 characters, not bytes", "ж" * 100 + " " + "ж" * 101),
    ("100 characters are counted between punctuation", "b" * 60 + "-" + "b" * 60 + " " + "中" * 120),
    ("not in the vocabulary", "qqq unmatched\u0e5b zxqzxq the"),
    ("longest match first", "unaffable unaffables affable un unun"),
    ("empty", ""),
    ("blank", " \t\n "),
]

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WHOLE = ["the", "The", "quick", "brown", "fox", "un", "aff", "##aff", "##able", "unaff", "##ables", "model", "bert", "BERT",
         "cafe", "Caf", "##ang", "##str", "##aaaa", "aaaa", "##ee", "##жж", "##bbbb", "viet", "##10", "##000"]
LEFT_OUT = set("q\u0e5b")


def words(cased):
    normalizer, cut = BertNormalizer(lowercase=not cased), BertPreTokenizer()
    for _, text in CASES:
        for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text)):
            yield word


def vocabulary():
    tokens = dict.fromkeys(SPECIALS + WHOLE)
    pieces = set()
    for word in [w for cased in (False, True) for w in words(cased)]:
        pieces.add(word[0])
        pieces.update("##" + c for c in word[1:])
        if len(word) < 12 and sum(map(ord, word)) % 3 == 0:  # some words and beginnings whole
            pieces.update((word, word[: (len(word) + 1) // 2]))
    tokens.update(dict.fromkeys(sorted(p for p in pieces if not set(p.removeprefix("##")) & LEFT_OUT)))
    return list(tokens)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "wordpiece.vocab")
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(token + "\n" for token in vocabulary())
    with open(os.path.join(here, "wordpiece.golden"), "w", encoding="utf-8", newline="\n") as file:
        file.write("# Made by make_wordpiece_golden.py: mode, text in hexadecimal UTF-8, ids.\n")
        for cased in (False, True):
            tokenizer = BertWordPieceTokenizer(path, lowercase=not cased)
            for name, text in CASES:
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                line = ["cased" if cased else "uncased", text.encode().hex() or "-"] + [str(i) for i in ids]
                file.write("# %s\n%s\n" % (name, " ".join(line)))


main()
