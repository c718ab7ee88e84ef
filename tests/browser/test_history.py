"""Looking back in the timeline: earlier facts when they are asked for, and a range of time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import SERVICES, site_of
from tests.browser.test_timeline import LIVE, rows_with, send
from tests.live.daemon import Daemon, eventually, running

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]

#: More than two pages beyond the rows that the page has at most.
MANY = 950

TEXTS = "[...document.querySelectorAll('.fact .text')].map((cell) => cell.textContent)"
LATER = "!document.querySelector('#later').hidden"


def fill(daemon: Daemon, texts: list[str]) -> None:
    """Send datagrams, none of which the system drops, and wait until all are facts."""
    for begin in range(0, len(texts), 50):
        part = texts[begin : begin + 50]
        send(daemon, *part)
        query = f"contains={part[-1]}"
        eventually(lambda query=query: bool(facts(daemon, query)))  # type: ignore[misc]


def facts(daemon: Daemon, query: str) -> list[dict[str, str]]:
    """What the API has."""
    with urlopen(f"{site_of(daemon)}/api/facts?limit=10000&{query}") as answer:
        found: list[dict[str, str]] = json.load(answer)["facts"]
        return found


def numbered(numbers: range) -> list[str]:
    return [f"fact-{number:04}" for number in numbers]


def press(tab: Tab, button: str) -> None:
    """Press one of the two buttons by keyboard, and wait until it has done what it does."""
    before = tab.evaluate(f"JSON.stringify({TEXTS})")
    tab.evaluate(f"document.querySelector('{button} button').focus()")
    tab.press("Enter")
    tab.wait_for(f"JSON.stringify({TEXTS}) !== {json.dumps(before)}")


def test_earlier_facts_come_when_they_are_asked_for_and_rows_stay_few(
    browser: Chromium, fresh: Daemon
) -> None:
    texts = numbered(range(MANY))
    fill(fresh, texts)
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 200")
        assert tab.evaluate(TEXTS) == texts[-200:]
        press(tab, "#earlier")
        assert tab.evaluate(TEXTS) == texts[-400:]
        assert tab.text("#earlier .note") == "200 earlier facts."
        for end in (600, 800):
            press(tab, "#earlier")
            assert tab.evaluate(TEXTS) == texts[MANY - end :][:500]
        press(tab, "#earlier")
        assert tab.evaluate(TEXTS) == texts[:500]
        assert not tab.evaluate("document.querySelector('#earlier button').checkVisibility()")
        assert tab.evaluate("document.activeElement.id") == "facts"
        assert "Looking back" in tab.text("#facts-status")
        send(fresh, "what comes meanwhile")
        tab.wait_for_text("1 new", "#facts-status")
        press(tab, "#later")
        assert tab.evaluate(TEXTS) == texts[200:700]
        press(tab, "#later")
        assert tab.evaluate(TEXTS) == texts[400:900]
        press(tab, "#later")
        tab.wait_for(rows_with("what comes meanwhile"))
        tab.wait_for(f"!({LATER})")
        send(fresh, "what comes then")
        tab.wait_for(rows_with("what comes then"))
        assert tab.complaints() == []


def test_what_is_read_stays_where_it_is(browser: Chromium, fresh: Daemon) -> None:
    fill(fresh, numbered(range(300)))
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 200")
        tab.evaluate("document.querySelector('#facts').scrollTop = 0")
        row = "[...document.querySelectorAll('.fact')].find((row) => row.textContent.includes('fact-0100'))"
        place = f"{row}.getBoundingClientRect().top"
        before = tab.evaluate(place)
        press(tab, "#earlier")
        assert abs(tab.evaluate(place) - before) < 2


def test_resume_goes_back_to_what_comes(browser: Chromium, fresh: Daemon) -> None:
    texts = numbered(range(620))
    fill(fresh, texts)
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 200")
        press(tab, "#earlier")
        press(tab, "#earlier")
        tab.wait_for(LATER)
        tab.click("#pause")
        tab.wait_for(f"{TEXTS}.length === 200")
        assert tab.evaluate(TEXTS) == texts[-200:]
        assert tab.text("#pause") == "Pause"


def test_what_was_cleared_can_be_looked_back_at(browser: Chromium, fresh: Daemon) -> None:
    send(fresh, "before clearing")
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for(rows_with("before clearing"))
        tab.click("#clear")
        tab.wait_for("document.querySelectorAll('.fact').length === 0")
        press(tab, "#earlier")
        assert tab.evaluate(TEXTS) == ["before clearing"]


def test_what_comes_while_it_is_paused_and_cleared_is_shown_once(browser: Chromium, fresh: Daemon) -> None:
    send(fresh, "one", "two")
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 2")
        tab.wait_for(LIVE)
        tab.click("#pause")
        tab.click("#clear")
        send(fresh, "three", "four")
        tab.wait_for_text("2 new", "#facts-status")
        press(tab, "#earlier")
        assert tab.evaluate(TEXTS) == ["one", "two"]
        tab.click("#pause")
        tab.wait_for("document.querySelectorAll('.fact').length >= 4")
        assert tab.evaluate(TEXTS) == ["one", "two", "three", "four"]


def test_an_earlier_page_that_fails_says_so(browser: Chromium, fresh: Daemon) -> None:
    fill(fresh, numbered(range(250)))
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 200")
        tab.call("Network.setBlockedURLs", {"urls": ["*before=*"]})
        tab.evaluate("document.querySelector('#earlier button').click()")
        tab.wait_for_text("That failed", "#earlier .note")
        tab.call("Network.setBlockedURLs", {"urls": []})
        press(tab, "#earlier")
        assert tab.count(".fact") == 250


def test_a_range_of_time_shows_what_was_in_it(browser: Chromium, fresh: Daemon) -> None:
    send(fresh, "in the range")
    with browser.tab(f"{site_of(fresh)}/#since=1h", zone="America/St_Johns") as tab:
        tab.wait_for(rows_with("in the range"))
        time = int(facts(fresh, "contains=in+the+range")[0]["time"]) // 1_000_000_000
        utc = [datetime.fromtimestamp(time + add, UTC).strftime("%Y-%m-%dT%H:%M:%S") for add in (-60, 60)]
        begin, end = (
            tab.evaluate(
                "(() => { const at = new Date('" + one + "Z');"
                "at.setMinutes(at.getMinutes() - at.getTimezoneOffset());"
                "return at.toISOString().slice(0, 19); })()"
            )
            for one in utc
        )
        assert begin != utc[0], "the page is not in Newfoundland"
        tab.choose("[name=since]", begin)
        tab.choose("[name=until]", end)
        # A link means the same everywhere.
        tab.wait_for(f"decodeURIComponent(location.hash) === '#since={utc[0]}Z&until={utc[1]}Z'")
        tab.wait_for(rows_with("in the range"))
        tab.choose("[name=until]", begin)
        tab.wait_for_text("Nothing fits the filter")
        assert "as it comes" not in tab.text("#empty-filtered")
        tab.click("#filters-clear")
        tab.wait_for(rows_with("in the range"))
        assert tab.evaluate("document.querySelector('[name=since]').value") == ""
        assert tab.complaints() == []


def test_a_link_with_a_range_fills_the_fields(browser: Chromium, fresh: Daemon) -> None:
    hash_ = "since=2026-07-01T12:30:00Z&until=3026-07-01T12:30:00Z"
    with browser.tab(f"{site_of(fresh)}/#{hash_}") as tab:
        tab.wait_for(LIVE)
        fields = "['since', 'until'].map((name) => new Date(document.querySelector(`[name=${name}]`).value))"
        assert tab.evaluate(f"{fields}.map((date) => date.toISOString())") == [
            "2026-07-01T12:30:00.000Z",
            "3026-07-01T12:30:00.000Z",
        ]
        send(fresh, "in time")
        tab.wait_for(rows_with("in time"))


def test_what_was_before_the_daemon_is_read_from_the_journal(browser: Chromium, tmp_path: Path) -> None:
    texts = numbered(range(450))
    options = [*SERVICES, f"--journal={tmp_path / 'journal.db'}"]
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with running(tmp_path / "first", *options) as first:
        fill(first, texts[:300])
    with running(tmp_path / "second", *options) as second:
        fill(second, texts[300:])
        with browser.tab(f"{site_of(second)}/#kind=received&kind=sent") as tab:
            tab.wait_for("document.querySelectorAll('.fact').length === 200")
            press(tab, "#earlier")
            press(tab, "#earlier")
            assert tab.evaluate(TEXTS) == texts
            tab.fill("[name=contains]", "fact-0007")
            tab.wait_for("document.querySelectorAll('.fact').length === 1")
            assert tab.complaints() == []


#: Facts 40 to 49 of a hundred fit, and an answer looks at ten.
LOOKING = """
import('/static/history.js').then(async ({History}) => {
    const asked = [];
    globalThis.fetch = async (path) => {
        const query = new URL(path, location).searchParams;
        asked.push(query.get("before") ?? query.get("after"));
        const newest = query.get("order") === "newest";
        const place = newest ? query.get("before") - 10 : Number(query.get("after")) + 10;
        const seqs = Array.from({length: 10}, (_, at) => newest ? place + 9 - at : place - 9 + at);
        const facts = seqs.filter((seq) => seq >= 40 && seq < 50).map((seq) => ({seq}));
        const answer = newest ? {facts, before: place, last: 99, more: place > 0, gap: null}
            : {facts, last: place, more: place < 99, gap: null};
        return new Response(JSON.stringify(answer));
    };
    const history = new History(() => new URLSearchParams());
    const shown = [];
    %s
    return {asked, seqs: shown.map(({seq}) => seq)};
})
"""


def test_where_nothing_fits_in_what_was_looked_at_it_goes_on_behind_that(
    browser: Chromium, site: str
) -> None:
    with browser.tab(f"{site}/static/icon.svg") as tab:
        back = tab.evaluate(
            LOOKING
            % """
            history.begin({oldest: null, before: 80, more: true});
            for (let more = true; more;) {
                const part = await history.earlier(shown[0]?.seq ?? null, 99);
                shown.unshift(...part.facts);
                more = part.more;
            }
            """
        )
        assert back["asked"] == ["80", "70", "60", "50", "40", "30", "20", "10"]
        assert back["seqs"] == list(range(40, 50))
        ahead = tab.evaluate(
            LOOKING
            % """
            shown.push({seq: 9});
            for (let more = true; more;) {
                const part = await history.later(shown.at(-1).seq);
                shown.push(...part.facts);
                more = part.more;
            }
            """
        )
        assert ahead["asked"] == ["9", "19", "29", "39", "49", "59", "69", "79", "89"]
        assert ahead["seqs"] == [9, *range(40, 50)]


def test_facts_of_another_day_say_so(browser: Chromium, fresh: Daemon) -> None:
    send(fresh, "of today")
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for(rows_with("of today"))
        assert tab.count(".fact .day") == 0
        (fact,) = facts(fresh, "contains=of+today")
        fact["time"] = "1751373000000000000"
        module = "import('/static/row.js')"
        day = tab.evaluate(
            f"{module}.then(({{rowOf}}) => rowOf({json.dumps(fact)}).querySelector('.day').textContent)"
        )
        assert day == "1 Jul 2025"
