"""Copies the serialized FileDescriptorProtos out of the xds-protos wheel.

Usage: update-descriptors-extract.py WHEEL OUT
The generated *_pb2.py files hold the descriptor as one bytes literal, the argument of AddSerializedFile(). It is read with the
parser, never by importing the module: importing needs the protobuf runtime and drops unknown options on the way.
OUT: for every file a big-endian uint32 length and the bytes of one FileDescriptorProto.
"""
import ast
import struct
import sys
import zipfile

wheel, out = sys.argv[1:]
with zipfile.ZipFile(wheel) as z, open(out, "wb") as f:
    for name in sorted(n for n in z.namelist() if n.endswith("_pb2.py")):
        for node in ast.walk(ast.parse(z.read(name))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
                data = node.args[0].value
                f.write(struct.pack(">I", len(data)) + data)
