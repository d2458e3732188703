"""Languages are told apart, and where it is unclear nothing is claimed."""

# ruff: noqa: RUF001  # sentences in other scripts

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completions.spoken import UNKNOWN, language, strings

SENTENCES = {
    "en": "How do I rotate the signing key without downtime? Add the second certificate first.",
    "de": "Die Rechnung für März wurde doppelt abgebucht, bitte erstatten Sie einen der Beträge.",
    "fr": "La facture de mars a été débitée deux fois, merci de rembourser l'une d'elles.",
    "es": "Su paquete salió ayer de nuestro almacén y debería llegar el viernes.",
    "it": "La fattura di marzo è stata addebitata due volte, vi prego di rimborsarne una.",
    "pt": "A sua encomenda saiu ontem do nosso armazém e deve chegar na sexta-feira.",
    "nl": "De factuur van maart is twee keer afgeschreven, gelieve een ervan terug te betalen.",
    "sv": "Ditt paket lämnade vårt lager i går och bör komma fram på fredag.",
    "pl": "Faktura za marzec została pobrana dwa razy, proszę o zwrot jednej z nich.",
    "cs": "Jak mohu vyměnit podpisový klíč bez výpadku? Nejprve přidejte druhý certifikát.",
    "tr": "Mart faturası iki kez tahsil edildi, lütfen birini iade edin.",
    "ru": "Счёт за март был списан дважды, пожалуйста, верните один из платежей.",
    "uk": "Як замінити ключ підпису без простою? Спочатку додайте другий сертифікат.",
    "ar": "كيف يمكنني تبديل مفتاح التوقيع دون انقطاع؟ أضف الشهادة الثانية أولاً.",
    "he": "איך אני מחליף את מפתח החתימה בלי השבתה? הוסף קודם את התעודה השנייה.",
    "hi": "मैं बिना रुकावट के हस्ताक्षर कुंजी कैसे बदल सकता हूँ? पहले दूसरा प्रमाणपत्र जोड़ें।",
    "ja": "三月の請求が二重に引き落とされました。片方を返金してください。",
    "zh": "如何在不停机的情况下轮换签名密钥？请先添加第二个证书，然后删除旧证书。",
    "ko": "중단 없이 서명 키를 교체하려면 어떻게 해야 하나요? 먼저 두 번째 인증서를 추가하세요.",
    "vi": "Làm thế nào để thay khóa ký mà không gián đoạn? Trước tiên hãy thêm chứng chỉ thứ hai.",
    "fi": "Miten voin vaihtaa allekirjoitusavaimen ilman katkosta? Lisää ensin toinen varmenne.",
    "el": "Πώς μπορώ να αλλάξω το κλειδί υπογραφής χωρίς διακοπή; Προσθέστε πρώτα το δεύτερο.",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_in_its_language(code: str) -> None:
    assert language(SENTENCES[code]) == code
    assert language(SENTENCES[code] * 500) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        "Paris",
        "はい",
        "42",
        "3.14159 2718 1414 1732 9999",
        "7f3a9c0e-11aa-4b2d-9f77-8c1d2e3f4a5b",
        "a1 b2 c3 d4 e5 f6 g7 h8",
        "def f(x):\n    return [i * x for i in range(10) if i % 2]\n\nprint(f(3))",
        "SELECT id, name FROM t WHERE x = 1 AND y > 2 ORDER BY id LIMIT 10;",
        "https://example.com/the/page/about/how/we/ship?from=here&to=there",
        "🦄🦄🦄🎉🎉🎉",
        '<div class="a"><span id="b">1</span></div>',
        "\x00\ud800\x00\ud800\x00\ud800\x00\ud800\x00",
    ],
)
def test_of_short_texts_numbers_and_code_nothing_is_claimed(text: str) -> None:
    assert language(text) == UNKNOWN


def test_code_between_sentences_does_not_count() -> None:
    fenced = "```python\n" + "for key, value in data.items():\n    print(key, value)\n" * 20 + "```\n"
    assert language(fenced + SENTENCES["de"]) == "de"
    assert language("https://example.com/where/is/my/parcel " * 5 + SENTENCES["fr"]) == "fr"


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_has_an_answer_of_two_letters_or_und(text: str) -> None:
    code = language(text)
    assert code == UNKNOWN or (len(code) == 2 and code.isalpha())
    assert language(text) == code


def test_the_texts_of_a_json_value_come_in_order_and_within_a_bound() -> None:
    value = json.loads('{"a": "one", "b": [1, "two", {"c": "three"}, null], "d": {"e": []}, "f": "four"}')
    assert strings(value) == "one\ntwo\nthree\nfour"
    assert strings("said") == "said"
    assert strings(None) == ""
    assert len(strings(["x" * 100] * 1000, most=500)) < 700
