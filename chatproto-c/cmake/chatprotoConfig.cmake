# find_package(chatproto): gives the target chatproto::chatproto, the shared library, or the static
# one if chatproto_USE_STATIC_LIBS is set before.

get_filename_component(_chatproto_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET chatproto::chatproto)
  if(chatproto_USE_STATIC_LIBS)
    set(_chatproto_kind STATIC)
    set(_chatproto_name "${CMAKE_STATIC_LIBRARY_PREFIX}chatproto${CMAKE_STATIC_LIBRARY_SUFFIX}")
  else()
    set(_chatproto_kind SHARED)
    set(_chatproto_name "${CMAKE_SHARED_LIBRARY_PREFIX}chatproto${CMAKE_SHARED_LIBRARY_SUFFIX}")
  endif()

  find_path(chatproto_INCLUDE_DIR chatproto.h
    PATHS "${_chatproto_prefix}/include" NO_DEFAULT_PATH)
  find_library(chatproto_${_chatproto_kind}_LIBRARY NAMES "${_chatproto_name}"
    PATHS "${_chatproto_prefix}"
    PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)

  include(FindPackageHandleStandardArgs)
  find_package_handle_standard_args(chatproto
    REQUIRED_VARS chatproto_${_chatproto_kind}_LIBRARY chatproto_INCLUDE_DIR
    VERSION_VAR chatproto_VERSION)

  if(chatproto_FOUND)
    add_library(chatproto::chatproto ${_chatproto_kind} IMPORTED)
    set_target_properties(chatproto::chatproto PROPERTIES
      IMPORTED_LOCATION "${chatproto_${_chatproto_kind}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${chatproto_INCLUDE_DIR}")
    if(chatproto_USE_STATIC_LIBS)
      find_package(Threads REQUIRED)
      set_property(TARGET chatproto::chatproto PROPERTY
        INTERFACE_LINK_LIBRARIES Threads::Threads ${CMAKE_DL_LIBS} m)
    endif()
  endif()
endif()
