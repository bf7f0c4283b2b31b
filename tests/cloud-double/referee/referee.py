"""Do the official clients find in the double what they expect of the cloud?

Runs one scenario with the client of either signature scheme against a double (`cloud-double --scale …`) and judges
the answers. Both must have sent the same decoded parameters. Prints one line per check and `N passed, N failed`.

    referee.py 127.0.0.1:PORT SCALE [REQUESTS]

REQUESTS is a file with what the third client sends for each of `CALLS`: it is compared, and written when it is not
there. Clients in other languages compare themselves with it.
"""

import importlib
import json
import os
import re
import sys
import time
import urllib.request

REGION = "cn-hangzhou"
KEY = ("testid", "testsecret")
VPC_ACTIONS = ("Vpc", "VSwitch", "Eip", "UnTag")
RULES = [
    {"IpProtocol": "TCP", "PortRange": ports, "SourceCidrIp": "0.0.0.0/0", "Policy": "accept"}
    for ports in ("22/22", "6443/6443")
]
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZQ3v1dOeUv9qB8yV3zqkG4pX0h6gqf0w7lq3b8Yb1u referee"

TAGS = [{"Key": "product", "Value": "my-cluster"}, {"Key": "role", "Value": "master"}]
# One call of each kind, with ids that nobody has: what is sent counts here, not what is answered.
CALLS = [
    ("CreateVpc", {"CidrBlock": "172.16.0.0/16", "VpcName": "my-cluster", "ClientToken": "tok-1", "Tag": TAGS[:1]}),
    ("DescribeVpcs", {"Tag": TAGS[:1], "PageNumber": 1, "PageSize": 50}),
    ("DeleteVpc", {"VpcId": "vpc-1"}),
    ("CreateVSwitch", {"VpcId": "vpc-1", "ZoneId": "cn-hangzhou-b", "CidrBlock": "172.16.0.0/24", "VSwitchName": "my-cluster", "ClientToken": "tok-2", "Tag": TAGS[:1]}),
    ("DeleteVSwitch", {"VSwitchId": "vsw-1"}),
    ("CreateSecurityGroup", {"VpcId": "vpc-1", "SecurityGroupName": "my-cluster", "ClientToken": "tok-3", "Tag": TAGS[:1]}),
    ("AuthorizeSecurityGroup", {"SecurityGroupId": "sg-1", "Permissions": RULES, "ClientToken": "tok-4"}),
    ("DeleteSecurityGroup", {"SecurityGroupId": "sg-1"}),
    ("DescribeSecurityGroups", {"Tag": TAGS[:1], "MaxResults": 100}),
    ("DescribeAvailableResource", {"DestinationResource": "InstanceType", "Cores": 4, "Memory": 8.0, "InstanceChargeType": "PostPaid"}),
    ("ImportKeyPair", {"KeyPairName": "my-cluster", "PublicKeyBody": "ssh-ed25519 AAAA me", "Tag": TAGS[:1]}),
    ("DescribeKeyPairs", {"KeyPairName": "my-cluster"}),
    ("DeleteKeyPairs", {"KeyPairNames": '["my-cluster"]'}),
    ("DescribeImages", {"ImageFamily": "acs:debian_12_x64", "PageSize": 100}),
    ("RunInstances", {
        "ImageId": "img~x+y z*", "InstanceType": "ecs.g6.large", "SecurityGroupId": "sg-1", "VSwitchId": "vsw-1",
        "Amount": 3, "MinAmount": 1, "HostName": "m-[0,3]", "InstanceName": "m-[0,3]", "KeyPairName": "my-cluster",
        "SystemDisk": {"Category": "cloud_essd", "Size": "100"},
        "DataDisk": [{"Category": "cloud_essd", "Size": 100, "DeleteWithInstance": True}],
        "Tag": TAGS, "ClientToken": "tok-5",
    }),
    ("DescribeInstances", {"InstanceIds": '["i-1","i-2"]', "MaxResults": 100, "Tag": TAGS[:1]}),
    ("TagResources", {"ResourceType": "instance", "ResourceId": ["i-1"], "Tag": TAGS}),
    ("StopInstances", {"InstanceId": ["i-1"]}),
    ("StartInstances", {"InstanceId": ["i-1"]}),
    ("ModifyInstanceSpec", {"InstanceId": "i-1", "InstanceType": "ecs.g6.xlarge", "ClientToken": "tok-6"}),
    ("DeleteInstances", {"InstanceId": [f"i-{n}" for n in range(1, 13)], "Force": True, "ClientToken": "tok-7"}),
    ("AllocateEipAddress", {"Bandwidth": "100", "InternetChargeType": "PayByTraffic", "Name": "my-cluster", "ClientToken": "tok-8"}),
    ("AssociateEipAddress", {"AllocationId": "eip-1", "InstanceId": "i-1", "InstanceType": "EcsInstance", "ClientToken": "tok-9"}),
    ("DescribeEipAddresses", {"AllocationId": "eip-1", "PageSize": 100}),
    ("UnassociateEipAddress", {"AllocationId": "eip-1", "ClientToken": "tok-10"}),
    ("ReleaseEipAddress", {"AllocationId": "eip-1"}),
]


class Refused(Exception):
    """The double said no: HTTP status, code, request id, and how long to wait."""

    def __init__(self, status, code, request_id, retry_after=None):
        super().__init__(f"{status} {code}")
        self.status, self.code, self.request_id, self.retry_after = status, code, request_id, retry_after


def product(action):
    return "vpc" if any(part in action for part in VPC_ACTIONS) else "ecs"


class FirstScheme:
    """aliyun-python-sdk: HMAC-SHA1 over parameters."""

    name = "V1"

    def __init__(self, address, key=KEY):
        from aliyunsdkcore.client import AcsClient

        self.address = address
        self.client = AcsClient(key[0], key[1], REGION, auto_retry=False)

    def call(self, action, fields):
        from aliyunsdkcore.acs_exception.exceptions import ServerException

        version = {"vpc": "aliyunsdkvpc.request.v20160428", "ecs": "aliyunsdkecs.request.v20140526"}[product(action)]
        module = importlib.import_module(f"{version}.{action}Request")
        request = getattr(module, f"{action}Request")()
        request.set_endpoint(self.address)
        request.set_protocol_type("http")
        request.set_accept_format("JSON")
        for name, value in fields.items():
            self.set(request, name, value)
        try:
            return json.loads(self.client.do_action_with_exception(request))
        except ServerException as error:
            raise Refused(error.get_http_status(), error.get_error_code(), error.get_request_id()) from error

    @staticmethod
    def set(request, name, value):
        if name == "SystemDisk":
            # Flat here, nested in the other client; the same on the wire.
            for field, inner in value.items():
                getattr(request, f"set_SystemDisk{field}")(inner)
            return
        # Lists are set by a plural, or by a plural of the plural.
        endings = ["s", "ss", ""] if isinstance(value, list) else [""]
        setter = next(filter(None, (getattr(request, f"set_{name}{ending}", None) for ending in endings)))
        setter(value)


class ThirdScheme:
    """alibabacloud-*: ACS3-HMAC-SHA256 over headers."""

    name = "V3"

    def __init__(self, address, key=KEY):
        from alibabacloud_tea_openapi.utils_models import Config

        self.clients, self.models = {}, {}
        for short, long in (("ecs", "alibabacloud_ecs20140526"), ("vpc", "alibabacloud_vpc20160428")):
            config = Config(
                access_key_id=key[0], access_key_secret=key[1], region_id=REGION, endpoint=address, protocol="http"
            )
            self.clients[short] = importlib.import_module(f"{long}.client").Client(config)
            self.models[short] = importlib.import_module(f"{long}.models")

    def call(self, action, fields):
        from darabonba.exceptions import ResponseException

        short = product(action)
        request = getattr(self.models[short], f"{action}Request")()
        fields = dict(fields)
        if hasattr(request, "region_id"):
            fields.setdefault("RegionId", REGION)
        # Where this client knows a list, the parameter may be a JSON text on the wire: then it wants the text.
        request.from_map(fields)
        method = "".join("_" + c.lower() if c.isupper() else c for c in action).strip("_").replace("v_p_c", "vpc")
        method = method.replace("v_switch", "vswitch")
        try:
            return getattr(self.clients[short], method)(request).body.to_map()
        except ResponseException as error:
            data = getattr(error, "data", None) or {}
            request_id = getattr(error, "request_id", None) or data.get("RequestId")
            raise Refused(error.status_code, error.code, request_id, getattr(error, "retry_after", None)) from error


class Referee:
    def __init__(self, address, scale):
        self.address, self.scale = address, scale
        self.passed = self.failed = 0

    def check(self, what, fine, detail=""):
        self.passed, self.failed = self.passed + bool(fine), self.failed + (not fine)
        print(f"{'ok  ' if fine else 'FAIL'} {what}" + ("" if fine else f": {detail}"), flush=True)

    def control(self, path):
        with urllib.request.urlopen(f"http://{self.address}/_double/{path}", timeout=10) as answer:
            return answer.read().decode()

    def wait(self, seconds):
        time.sleep(seconds * self.scale + 0.02)

    def refused(self, client, action, fields, status, code):
        try:
            client.call(action, fields)
            self.check(f"{client.name} {action} is refused with {code}", False, "it was done")
        except Refused as refusal:
            seen = (refusal.status, refusal.code)
            self.check(f"{client.name} {action} is refused with {code}", seen == (status, code), seen)
            self.check(f"{client.name} {action} has a request id", refusal.request_id, refusal.request_id)

    def all_rows(self, client, action, fields, outer, inner):
        """Every row of a list, page by page as the client's manual says."""
        rows, token = [], ""
        while True:
            page = client.call(action, {**fields, "MaxResults": 10, **({"NextToken": token} if token else {})})
            rows.extend(page[outer][inner])
            token = page.get("NextToken")
            if not token:
                return rows, page["TotalCount"]

    def scenario(self, client, cluster):
        name = client.name
        self.catalogue(client)
        vpc = client.call("CreateVpc", {"CidrBlock": "172.16.0.0/16", "VpcName": "中文 ~*+", "ClientToken": f"{cluster}-vpc"})
        vpc = vpc["VpcId"]
        vswitch = {"VpcId": vpc, "ZoneId": f"{REGION}-b", "CidrBlock": "172.16.0.0/24"}
        self.refused(client, "CreateVSwitch", vswitch, 400, "IncorrectVpcStatus")
        self.wait(3)
        found = client.call("DescribeVpcAttribute", {"VpcId": vpc})
        self.check(f"{name} the VPC is there", (found["Status"], found["VpcName"]) == ("Available", "中文 ~*+"), found)
        vswitch = client.call("CreateVSwitch", vswitch)["VSwitchId"]
        group = client.call("CreateSecurityGroup", {"VpcId": vpc, "SecurityGroupName": cluster})["SecurityGroupId"]
        client.call("AuthorizeSecurityGroup", {"SecurityGroupId": group, "Permissions": RULES})
        client.call("ImportKeyPair", {"KeyPairName": cluster, "PublicKeyBody": PUBLIC_KEY})
        ids = self.machines(client, cluster, vswitch, group)
        eip = self.address_of(client, ids[0])
        self.lists(client, cluster, ids, vswitch)
        self.sizes(client, ids[-1])
        self.release(client, cluster, ids, eip, vswitch, group, vpc)

    def catalogue(self, client):
        name = client.name
        question = {"DestinationResource": "InstanceType", "Cores": 4, "Memory": 8.0, "InstanceChargeType": "PostPaid"}
        zones = client.call("DescribeAvailableResource", question)["AvailableZones"]["AvailableZone"]
        supported = zones[0]["AvailableResources"]["AvailableResource"][0]["SupportedResources"]["SupportedResource"]
        self.check(f"{name} stock of three zones", len(zones) == 3 and supported[0]["StatusCategory"] == "WithStock", zones)
        types = client.call("DescribeInstanceTypes", {"MinimumCpuCoreCount": 4, "MaximumMemorySize": 8.0})
        types = types["InstanceTypes"]["InstanceType"]
        self.check(f"{name} types of a size", types and all(t["CpuCoreCount"] >= 4 and t["MemorySize"] <= 8 for t in types), types)
        images = client.call("DescribeImages", {"ImageFamily": "acs:debian_12_x64", "PageSize": 100})
        self.check(f"{name} images of a family", images["TotalCount"] == 2, images)

    def machines(self, client, cluster, vswitch, group):
        name, ids = client.name, []
        for role in ("master", "node"):
            order = {
                "ImageId": "debian_12_x64_20G_alibase_20260101.vhd",
                "InstanceType": "ecs.g6.large",
                "SecurityGroupId": group,
                "VSwitchId": vswitch,
                "Amount": 3,
                "MinAmount": 3,
                "HostName": f"{role}-[0,3]",
                "InstanceName": f"{role}-[0,3]",
                "UniqueSuffix": True,
                "Password": "Aa1~=+%^*/()",
                "KeyPairName": cluster,
                "SystemDisk": {"Category": "cloud_essd", "Size": "100"},
                "DataDisk": [{"Category": "cloud_essd", "Size": 100}],
                "Tag": [{"Key": "product", "Value": cluster}, {"Key": "role", "Value": role}],
                "ClientToken": f"{cluster}-{role}",
            }
            if role == "master":
                self.refused(client, "RunInstances", order, 400, "IncorrectVSwitchStatus")
                self.wait(3)
            made = client.call("RunInstances", order)["InstanceIdSets"]["InstanceIdSet"]
            again = client.call("RunInstances", order)["InstanceIdSets"]["InstanceIdSet"]
            self.check(f"{name} a token makes three machines once", len(made) == 3 and made == again, (made, again))
            self.refused(client, "RunInstances", {**order, "Amount": 4}, 400, "IdempotentParameterMismatch")
            ids += made
        return ids

    def address_of(self, client, master):
        fields = {"Bandwidth": "100", "InternetChargeType": "PayByTraffic"}
        eip = client.call("AllocateEipAddress", fields)["AllocationId"]
        bind = {"AllocationId": eip, "InstanceId": master, "InstanceType": "EcsInstance"}
        self.refused(client, "AssociateEipAddress", bind, 400, "IncorrectInstanceStatus")
        self.refused(client, "DeleteInstances", {"InstanceId": [master], "Force": True}, 400, "IncorrectInstanceStatus.Initializing")
        self.wait(10)
        client.call("AssociateEipAddress", bind)
        self.wait(2)
        found = client.call("DescribeEipAddresses", {"AllocationId": eip, "PageSize": 100})["EipAddresses"]["EipAddress"][0]
        self.check(f"{client.name} the address is bound", (found["Status"], found["InstanceId"]) == ("InUse", master), found)
        return eip

    def lists(self, client, cluster, ids, vswitch):
        name = client.name
        tag = [{"Key": "product", "Value": cluster}]
        rows, total = self.all_rows(client, "DescribeInstances", {"Tag": tag}, "Instances", "Instance")
        self.check(f"{name} all machines by tag", total == 6 and {row["InstanceId"] for row in rows} == set(ids), rows)
        named = client.call("DescribeInstances", {"InstanceIds": json.dumps(ids[:2]), "MaxResults": 100})
        rows = named["Instances"]["Instance"]
        addresses = [row["NetworkInterfaces"]["NetworkInterface"][0]["PrimaryIpAddress"] for row in rows]
        self.check(f"{name} two machines by id", addresses == ["172.16.0.1", "172.16.0.2"], addresses)
        row = rows[0]
        shape = (row["Status"], row["Memory"], row["HostName"], row["VpcAttributes"]["VSwitchId"])
        self.check(f"{name} a machine is described", shape == ("Running", 8192, "master-000", vswitch), shape)
        self.check(f"{name} a machine has an address outside", row["EipAddress"]["IpAddress"].startswith("203."), row)
        status = client.call("DescribeInstanceStatus", {"InstanceId": ids, "PageSize": 50})
        states = [row["Status"] for row in status["InstanceStatuses"]["InstanceStatus"]]
        self.check(f"{name} states of all", states == ["Running"] * 6, states)
        client.call("TagResources", {"ResourceType": "instance", "ResourceId": ids[:1], "Tag": [{"Key": "a", "Value": "b"}]})
        rows, total = self.all_rows(client, "DescribeInstances", {"Tag": [{"Key": "a"}]}, "Instances", "Instance")
        self.check(f"{name} a tag that was put on later", total == 1 and rows[0]["InstanceId"] == ids[0], rows)
        self.refused(client, "DescribeInstances", {"InstanceIds": json.dumps([f"i-{n}" for n in range(101)])}, 400, "InvalidParameter.InstanceIds")

    def sizes(self, client, machine):
        wanted = {"InstanceId": machine, "InstanceType": "ecs.g6.xlarge"}
        self.refused(client, "ModifyInstanceSpec", wanted, 400, "IncorrectInstanceStatus")
        client.call("StopInstances", {"InstanceId": [machine]})
        self.wait(4)
        client.call("ModifyInstanceSpec", wanted)
        client.call("StartInstances", {"InstanceId": [machine]})
        self.wait(7)
        row = client.call("DescribeInstances", {"InstanceIds": json.dumps([machine])})["Instances"]["Instance"][0]
        self.check(f"{client.name} a machine has grown", (row["Status"], row["Cpu"]) == ("Running", 4), row)

    def release(self, client, cluster, ids, eip, vswitch, group, vpc):
        self.refused(client, "ReleaseEipAddress", {"AllocationId": eip}, 400, "IncorrectEipStatus")
        self.refused(client, "DeleteInstances", {"InstanceId": ids}, 400, "IncorrectInstanceStatus")
        client.call("UnassociateEipAddress", {"AllocationId": eip})
        client.call("DeleteInstances", {"InstanceId": ids, "Force": True})
        self.refused(client, "DeleteVSwitch", {"VSwitchId": vswitch}, 400, "DependencyViolation")
        self.refused(client, "DeleteSecurityGroup", {"SecurityGroupId": group}, 403, "DependencyViolation")
        self.wait(4)
        client.call("ReleaseEipAddress", {"AllocationId": eip})
        self.refused(client, "DeleteVpc", {"VpcId": vpc}, 400, "DependencyViolation.VSwitch")
        client.call("DeleteVSwitch", {"VSwitchId": vswitch})
        client.call("DeleteSecurityGroup", {"SecurityGroupId": group})
        client.call("DeleteVpc", {"VpcId": vpc})
        client.call("DeleteKeyPairs", {"KeyPairNames": json.dumps([cluster])})
        self.refused(client, "DeleteVpc", {"VpcId": vpc}, 404, "InvalidVpcId.NotFound")
        left = json.loads(self.control("leftovers"))
        self.check(f"{client.name} nothing is left", left == [], left)

    def strangers(self, scheme):
        self.refused(scheme(self.address, ("nobody", "testsecret")), "CreateVpc", {}, 404, "InvalidAccessKeyId.NotFound")
        try:
            scheme(self.address, ("testid", "wrong")).call("CreateVpc", {})
            self.check(f"{scheme.name} a wrong secret is refused", False, "it was done")
        except Refused as refusal:
            # The first client compares what was signed, and says so by a code of its own when it was the secret.
            codes = ("SignatureDoesNotMatch", "InvalidAccessKeySecret")
            self.check(f"{scheme.name} a wrong secret is refused", refusal.code in codes, refusal.code)

    def throttled(self, client):
        self.control("forget")
        self.control("fail?action=DescribeVpcs&nth=1&kind=throttled&ms=2000")
        try:
            client.call("DescribeVpcs", {})
            self.check(f"{client.name} is told to wait", False, "it was done")
        except Refused as refusal:
            seen = (refusal.code, refusal.retry_after)
            self.check(f"{client.name} is told to wait two seconds", seen == ("Throttling.User", 2000), seen)


def same_calls(referee, first, second):
    """Both clients must have said the same, but for what names their own cluster and things."""
    def plain(line):
        line = re.sub(r"\b(vpc|vsw|sg|i|eip)-[0-9a-z]{20}\b", r"\1-x", line).replace("first-", "c-").replace("third-", "c-")
        line = json.loads(line)
        # One client writes JSON booleans and floats its own way; the cloud reads both.
        return line["action"], {k: v.lower() for k, v in line["parameters"].items() if k != "RegionId"}

    first, second = [plain(line) for line in first], [plain(line) for line in second]
    referee.check("both clients make as many calls", len(first) == len(second), (len(first), len(second)))
    for number, (one, two) in enumerate(zip(first, second)):
        if one != two:
            referee.check(f"call {number} is the same", False, (one, two))
            return
    referee.check("both clients send the same parameters", True)


def requests(referee, client):
    """What a client sends for each of `CALLS`, one line of JSON each."""
    referee.control("forget")
    for action, fields in CALLS:
        try:
            client.call(action, fields)
        except Refused as refusal:
            # What is not there, or not allowed, is still understood.
            known = not refusal.code.startswith(("InvalidParameter", "Missing", "Signature", "InvalidAction"))
            referee.check(f"{client.name} {action} is understood", known, refusal.code)
    lines = []
    for line in referee.control("comparable").splitlines():
        call = json.loads(line)
        booleans = {"True": "true", "False": "false"}
        # The region is put in by one client where it is not needed.
        call["parameters"] = {k: booleans.get(v, v) for k, v in call["parameters"].items() if k != "RegionId"}
        lines.append(json.dumps(call, separators=(",", ":")))
    return lines


def published(referee, path):
    """Both clients must send what the published file says."""
    first, third = (requests(referee, scheme(referee.address)) for scheme in (FirstScheme, ThirdScheme))
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in third))
    with open(path, encoding="utf-8") as file:
        wanted = file.read().splitlines()
    for name, lines in (("V1", first), ("V3", third)):
        different = [(one, two) for one, two in zip(wanted, lines) if one != two]
        fine = not different and len(wanted) == len(lines)
        referee.check(f"{name} sends what is published for {len(wanted)} calls", fine, different[:1])


def main():
    address, scale = sys.argv[1], float(sys.argv[2])
    referee, logs = Referee(address, scale), []
    for scheme, cluster in ((FirstScheme, "first-cluster"), (ThirdScheme, "third-cluster")):
        referee.control("forget")
        try:
            referee.scenario(scheme(address), cluster)
        except Exception as error:  # noqa: BLE001 - whatever ends a scenario is a failed check
            referee.check(f"{scheme.name} comes to the end", False, repr(error))
        logs.append(referee.control("comparable").splitlines())
        verdicts = [json.loads(line) for line in referee.control("log").splitlines()]
        schemes = {line["scheme"] for line in verdicts}
        referee.check(f"{scheme.name} signs all of its {len(verdicts)} calls", schemes == {scheme.name}, schemes)
        referee.strangers(scheme)
    same_calls(referee, *logs)
    referee.throttled(ThirdScheme(address))
    if len(sys.argv) > 3:
        published(referee, sys.argv[3])
    print(f"{referee.passed} passed, {referee.failed} failed")
    return 1 if referee.failed else 0


if __name__ == "__main__":
    sys.exit(main())
