"""Only public addresses are reached; everything special is refused, also where Python calls it global."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.addresses import is_public

SPECIAL_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
SPECIAL_V6 = [
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "2606:4700::1111", "2a00::1"]
)
def test_public_addresses_may_be_reached(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "64:ff9b:1::1",
        "192.0.0.192",
        "fec0::1",
        "224.0.0.1",
        "ff0e::1",
        "100.64.0.1",
        "fe80::1%eth0",
        "2606:4700::1111%1",
        "255.255.255.255",
        "0.0.0.0",
        "2130706433",
        "0177.0.0.1",
        "localhost",
        "",
    ],
)
def test_c4_special_and_odd_addresses_are_refused(address: str) -> None:
    assert not is_public(address)


@given(st.sampled_from(SPECIAL_V4), st.integers(0, 2**32 - 1))
def test_c4_no_address_of_a_special_v4_range_is_public(block: str, pick: int) -> None:
    network = IPv4Network(block)
    address = IPv4Address(int(network.network_address) + pick % network.num_addresses)
    assert not is_public(str(address))


@given(st.sampled_from(SPECIAL_V6), st.integers(0, 2**128 - 1))
def test_c4_no_address_of_a_special_v6_range_is_public(block: str, pick: int) -> None:
    network = IPv6Network(block)
    address = IPv6Address(int(network.network_address) + pick % network.num_addresses)
    assert not is_public(str(address))


@given(st.integers(0, 2**32 - 1))
def test_c4_no_v4_address_is_public_inside_a_v6_address(number: int) -> None:
    for block in ("::ffff:0:0", "64:ff9b::"):
        assert not is_public(str(IPv6Address(int(IPv6Address(block)) + number)))
    assert not is_public(str(IPv6Address((0x2002 << 112) + (number << 80))))
