# The version is the header's. Before 1.0 another minor version is another interface.

file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../../../include/chatproto.h" _chatproto_line
  REGEX "^#define CHATPROTO_VERSION \"")
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" PACKAGE_VERSION "${_chatproto_line}")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _chatproto_own "${PACKAGE_VERSION}")

if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
if(PACKAGE_FIND_VERSION VERSION_LESS_EQUAL PACKAGE_VERSION
    AND PACKAGE_FIND_VERSION VERSION_GREATER_EQUAL _chatproto_own)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
else()
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
endif()
