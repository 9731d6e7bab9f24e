"""A fake Alibaba Cloud ECS: DescribeImageSharePermission on a real socket, with both signatures."""

from fakeecs.changes import Change
from fakeecs.data import Account, Data, Image, Key
from fakeecs.demo import demo_data, made_up_accounts
from fakeecs.editions import Choices
from fakeecs.errors import Problem
from fakeecs.journal import Entry
from fakeecs.server import FakeEcs
from fakeecs.trouble import Fault, MinuteWindow

__all__ = [
    "Account",
    "Change",
    "Choices",
    "Data",
    "Entry",
    "FakeEcs",
    "Fault",
    "Image",
    "Key",
    "MinuteWindow",
    "Problem",
    "demo_data",
    "made_up_accounts",
]
